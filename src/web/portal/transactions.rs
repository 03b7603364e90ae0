//! `/capital/transactions`: all transactions by week, those of one week, or everything but sales.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Datelike, Days, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;
use minijinja::{Value, context};

use super::response::{Notice, value};
use super::section::history::{Financed, History};
use super::section::view::PageFormatter;
use super::tenant::PortalQuery;
use super::{Portal, PortalState, Viewer};
use crate::database::{Cursor, with_timeout};
use crate::financing::AccountLocale;
use crate::financing::history::Weeks;
use crate::financing::ledger::store::Balance;
use crate::financing::ledger::{EntryId, Movement, MovementFilter};
use crate::format::locale::{Formats, start_of_day};
use crate::offers::store::AccountOffer;
use crate::stripe::AccountId;

/// Half a year.
const WEEKS_PER_PAGE: u8 = 26;
const ROWS_PER_PAGE: u8 = 100;

/// What a request lists.
enum Listing {
    /// By week, before this day.
    Weeks(Option<NaiveDate>),
    /// The week that begins on this day, after the cursor.
    Week(NaiveDate, Option<Cursor<EntryId>>),
    /// Everything but sales, after the cursor.
    Other(Option<Cursor<EntryId>>),
}

pub(super) async fn show(
    State(state): State<PortalState>,
    query: PortalQuery,
    headers: HeaderMap,
) -> Response {
    let viewer = match state.viewer(&headers, &query).await {
        Ok(viewer) => viewer,
        Err(error) => return state.error_page(error),
    };
    let Some(listing) = Listing::requested(&query) else {
        return state.pages.notice(Notice::Unclear, viewer.presentation);
    };
    match Box::pin(with_timeout(state.list(&viewer, &listing))).await {
        Ok(page) => state.list_page(&viewer, page, query.before.is_some()),
        Err(error) => state.fail(&error, viewer.presentation),
    }
}

/// A day of this century or the next ones, which Postgres can compute with.
fn day(text: &str) -> Option<NaiveDate> {
    text.parse().ok().filter(|day: &NaiveDate| (2000..=9999).contains(&day.year()))
}

impl Listing {
    /// `None` if a parameter is not one of our links'.
    fn requested(query: &PortalQuery) -> Option<Self> {
        let before = query.before.as_deref();
        let cursor =
            || before.map(|before| before.parse().ok()).map_or(Some(None), |at| at.map(Some));
        match (query.week.as_deref(), query.show.as_deref()) {
            (Some(week), _) => {
                let week = day(week).filter(|day| day.weekday() == Weekday::Mon)?;
                Some(Self::Week(week, cursor()?))
            }
            (None, Some("other")) => Some(Self::Other(cursor()?)),
            (None, Some("all") | None) => match before {
                Some(before) => Some(Self::Weeks(Some(day(before)?))),
                None => Some(Self::Weeks(None)),
            },
            (None, Some(_)) => None,
        }
    }
}

/// What was read for a listing.
enum Listed {
    Nothing,
    Weeks(History),
    /// Consecutive movements of the week that begins on the day, with the balances after the first.
    Week(NaiveDate, Vec<Movement>, Vec<Balance>),
    Other(Vec<Movement>),
}

/// A page of a listing.
struct ListPage {
    listed: Listed,
    /// Where the next page begins: a cursor or a day.
    older: Option<String>,
    home: AccountLocale,
    offers: Vec<AccountOffer>,
    paid_out: BTreeMap<String, DateTime<Utc>>,
}

impl PortalState {
    async fn list(&self, viewer: &Viewer, listing: &Listing) -> sqlx::Result<ListPage> {
        let portal = &self.portal;
        let account = &viewer.account;
        let home = portal.financings.locale(account).await?;
        let offers = portal.offers(account).await?;
        let paid_out = portal.paid_out(account, &offers).await?;
        let zone = home.time_zone;
        let (listed, older) = match listing {
            Listing::Weeks(before) => portal.list_weeks(account, *before, zone).await?,
            Listing::Week(first_day, after) => {
                portal.list_week(account, (*first_day, zone), after.clone()).await?
            }
            Listing::Other(after) => {
                let after = after.clone();
                let filter =
                    MovementFilter { without_sales: true, after, ..MovementFilter::default() };
                let (movements, older) = portal.page_of(account, &filter).await?;
                (Listed::Other(movements), older)
            }
        };
        Ok(ListPage { listed, older, home, offers, paid_out })
    }

    fn list_page(&self, viewer: &Viewer, page: ListPage, is_later_page: bool) -> Response {
        let portal = &self.portal;
        let ListPage { listed, older, home, offers, paid_out } = page;
        let country = home.country.as_deref();
        let formats = Formats::new(viewer.language(), country);
        let formatter = PageFormatter { formats: &formats, zone: home.time_zone };
        let financed = Financed { offers: &offers, paid_out };
        let list = match &listed {
            Listed::Nothing => context! { listing => "weeks", weeks => Vec::<Value>::new() },
            Listed::Weeks(history) => {
                let weeks = formatter.weeks(history, &financed, usize::from(WEEKS_PER_PAGE));
                context! { listing => "weeks", weeks => value(weeks) }
            }
            Listed::Week(first_day, movements, balances) => context! {
                listing => "week",
                id => first_day.to_string(),
                begins_on => formats.short_date(*first_day),
                rows => value(formatter.rows(movements.iter(), &financed, balances)),
            },
            // They are not consecutive, so they have no balance.
            Listed::Other(movements) => context! {
                listing => "other",
                rows => value(formatter.rows(movements.iter(), &financed, &[])),
            },
        };
        let page = context! {
            older,
            is_later_page,
            account_name => home.name,
            is_test => portal.is_test(),
            contacts => value(portal.settings.contacts.in_market(country)),
            disclaimers =>
                value(portal.disclaimer_texts(offers.iter(), country, viewer.language())),
            paths => portal.paths(viewer),
            ..list
        };
        self.pages.render("transactions.html", viewer.presentation, page)
    }
}

impl Portal {
    async fn list_weeks(
        &self,
        account: &AccountId,
        before: Option<NaiveDate>,
        zone: Tz,
    ) -> sqlx::Result<(Listed, Option<String>)> {
        let start = before.map(|day| start_of_day(day, zone));
        // An account's movements can pause for years: the page begins with the newest ones.
        let Some(newest) = self.financings.newest_before(account, start).await? else {
            return Ok((Listed::Nothing, None));
        };
        let weeks = Weeks::ending(newest, u64::from(WEEKS_PER_PAGE), zone);
        let (begin, end) = (weeks.from(), weeks.until());
        let first_day = weeks.first_days().first().map(NaiveDate::to_string);
        // Transaction ids are not empty, so this is exclusive.
        let at = Cursor { created_at: end, id: "" };
        let (history, balances, older) = tokio::try_join!(
            self.history(account, weeks, usize::from(WEEKS_PER_PAGE)),
            self.financings.balances(account, &at, None),
            self.financings.newest_before(account, Some(begin)),
        )?;
        Ok((Listed::Weeks(History { balances, ..history }), older.and(first_day)))
    }

    async fn list_week(
        &self,
        account: &AccountId,
        (first_day, zone): (NaiveDate, Tz),
        after: Option<Cursor<EntryId>>,
    ) -> sqlx::Result<(Listed, Option<String>)> {
        let next = first_day.checked_add_days(Days::new(7)).unwrap_or(first_day);
        let filter = MovementFilter {
            from: Some(start_of_day(first_day, zone)),
            until: Some(start_of_day(next, zone)),
            after,
            ..MovementFilter::default()
        };
        let (movements, older) = self.page_of(account, &filter).await?;
        let balances = match movements.first() {
            None => Vec::new(),
            Some(newest) => self.financings.balances(account, &newest.cursor(), None).await?,
        };
        Ok((Listed::Week(first_day, movements, balances), older))
    }

    /// A page of movements, and the cursor of the next one.
    async fn page_of(
        &self,
        account: &AccountId,
        filter: &MovementFilter,
    ) -> sqlx::Result<(Vec<Movement>, Option<String>)> {
        // One more than is shown tells whether there is an older page.
        let limit = i64::from(ROWS_PER_PAGE) + 1;
        let mut movements = self.financings.movements(account, filter, limit).await?;
        let has_more = movements.len() > usize::from(ROWS_PER_PAGE);
        movements.truncate(usize::from(ROWS_PER_PAGE));
        let last = movements.last().filter(|_| has_more);
        let older = last.map(|movement| movement.cursor().to_string());
        Ok((movements, older))
    }
}
