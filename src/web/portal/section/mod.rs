//! `/capital`: the state of an account's offers and financings, for the merchant.

mod delivery;
pub(super) mod history;
mod phase;
mod progress;
pub(super) mod view;

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use chrono::{DateTime, Utc};
use minijinja::context;
use serde::Serialize;

use super::response::value;
use super::{Portal, PortalState, Viewer, copy_id, tenant};
use crate::database::with_timeout;
use crate::financing::history::{Weeks, remaining};
use crate::financing::ledger::Totals;
use crate::financing::summary::{SummaryComparison, only};
use crate::financing::{AccountLocale, LookupError};
use crate::format::locale::{Formats, Language};
use crate::letters::wording::{Disclaimer, approvals};
use crate::maintenance::reconcile::store::has_listed_all;
use crate::offers::store::{AccountOffer, AccountPage, current_of_account, of_account};
use crate::stripe::AccountId;
use history::{Financed, History, ROWS_PER_WEEK, was_paid_out};
use phase::{Card, Phase, cards};
use progress::Figures;
use view::{CardContext, PageFormatter};

/// Far more than an account has.
const MAX_OFFERS: i64 = 50;
/// Half a year: what the picture of the payments shows.
const CHART_WEEKS: u64 = 26;
/// Weeks with transactions that the section lists; a page of their own lists all.
const LISTED_WEEKS: usize = 6;

/// The data of the page.
struct AccountData {
    offers: Vec<AccountOffer>,
    /// `None` without a financing that was accepted, and if Stripe never answered.
    comparison: Option<SummaryComparison>,
    /// The ledger's totals, if Stripe's summary is missing; otherwise they are part of it.
    ledger_totals: Vec<Totals>,
    history: History,
    /// When each financing was paid out, if there are several.
    paid_out: BTreeMap<String, DateTime<Utc>>,
    audience: Audience,
}

/// What determines the wording of the page.
struct Audience {
    home: AccountLocale,
    language: Language,
    /// Hashes of the page's wordings whose approval is in force, with their market. Empty for test
    /// data, which needs none.
    approved: Vec<(String, String)>,
}

/// Shows the section. `is_seen` if a person sees the response.
pub(super) async fn show(state: &PortalState, viewer: &Viewer, is_seen: bool) -> Response {
    let (portal, account, presentation) = (&state.portal, &viewer.account, viewer.presentation);
    let data = match Box::pin(with_timeout(portal.load(viewer))).await {
        Ok(Some(data)) => data,
        // Without Stripe's answer the page would say that there is no financing.
        Ok(None) => return state.not_now(presentation),
        Err(error) => return state.fail(&error, presentation),
    };
    // Without a country the terms of the market are missing: such a page delivers no offer.
    let is_complete = data.audience.home.country.is_some();
    let (response, shown) = render(state, viewer, data);
    if is_seen && is_complete && response.status().is_success() {
        portal.report_view(account, &shown).await;
    }
    response
}

/// The page, and the current cards on it.
fn render(state: &PortalState, viewer: &Viewer, mut data: AccountData) -> (Response, Vec<Card>) {
    let (portal, pages) = (&state.portal, &state.pages);
    let home = &data.audience.home;
    let country = home.country.as_deref();
    let now = portal.clock.now();
    let formats = Formats::new(viewer.language(), country);
    let formatter = PageFormatter { formats: &formats, zone: home.time_zone };
    let totals =
        data.comparison.as_ref().map_or(&data.ledger_totals, |comparison| &comparison.totals);
    data.history.balances = remaining(totals);
    let has_movements = !totals.is_empty();
    let figures =
        Figures { offers: data.offers, comparison: data.comparison.as_ref(), totals, now, country };
    let (mut current, past) = cards(&figures);
    let disclaimers = portal.disclaimers(&mut current, &past, &data.audience);
    if disclaimers.is_hidden {
        tracing::warn!(
            account.id = %viewer.account,
            "an open offer is hidden: its disclaimer is missing, or no approval of the Capital \
             section is in force for its market"
        );
    }
    let uses_stripe = current.iter().any(Card::has_stripes_figures);
    let comparison = data.comparison.as_ref().filter(|_| uses_stripe);
    let financed = Financed { offers: &figures.offers, paid_out: data.paid_out };
    let running = current.iter().filter(|card| card.phase == Phase::InProgress);
    let running = only(running).and_then(|card| card.progress.as_ref());
    let running = running.map(|progress| &progress.remaining);
    let context = CardContext { home, financed: &financed, history: &data.history, running, now };
    let to_view = |card: &Card| formatter.card(card, &context);
    // A financing that was just completed is worth a card, unless another one runs.
    let is_busy =
        current.iter().any(|card| matches!(card.phase, Phase::InProgress | Phase::UnderReview));
    let completed = usize::from(!is_busy).min(past.len());
    let page = context! {
        account_name => home.name.clone(),
        is_test => portal.is_test(),
        is_hidden => disclaimers.is_hidden,
        cards => value(current.iter().map(to_view).collect::<Vec<_>>()),
        completed => value(past[..completed].iter().map(to_view).collect::<Vec<_>>()),
        earlier => value(past[completed..].iter().map(to_view).collect::<Vec<_>>()),
        as_of => comparison.map(|comparison| formatter.moment(comparison.as_of)),
        is_current => comparison.is_none_or(|comparison| comparison.is_current),
        has_movements,
        weeks => value(formatter.weeks(&data.history, &financed, LISTED_WEEKS)),
        contacts => value(portal.settings.contacts.in_market(country)),
        paths => portal.paths(viewer),
        disclaimers => value(disclaimers.shown),
    };
    (pages.render("capital.html", viewer.presentation, page), current)
}

/// The disclaimers of the page.
struct PageDisclaimers {
    /// Each text once.
    shown: Vec<DisclaimerText>,
    /// An open offer is hidden, because its approved disclaimer is missing.
    is_hidden: bool,
}

#[derive(Serialize)]
pub(super) struct DisclaimerText {
    language: &'static str,
    paragraphs: Vec<String>,
}

impl Portal {
    /// None if the account's offers are unknown and Stripe does not answer.
    async fn load(&self, viewer: &Viewer) -> sqlx::Result<Option<AccountData>> {
        let account = &viewer.account;
        let mut offers = self.offers(account).await?;
        // Its events may have preceded this service, or were lost: Stripe has the offer.
        if offers.is_empty() || !has_listed_all(&self.db, self.financings.livemode()).await? {
            match self.finder.find_for_request(account).await {
                Ok(()) => offers = self.offers(account).await?,
                Err(LookupError::Database(error)) => return Err(error),
                Err(LookupError::Stripe(error)) => {
                    tracing::warn!(account.id = %account, %error, "cannot find the account's offers");
                    if offers.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
        let has_begun =
            offers.iter().any(|offer| matches!(offer.status.as_str(), "accepted" | "paid_out"));
        // Both may call Stripe. Concurrently, so that a slow Stripe delays the merchant only once.
        let comparison =
            async { if has_begun { self.comparison(account).await } else { Ok(None) } };
        let history = async {
            let home = self.financings.locale(account).await?;
            let weeks = Weeks::ending(self.clock.now(), CHART_WEEKS, home.time_zone);
            Ok((self.history(account, weeks, LISTED_WEEKS).await?, home))
        };
        let (comparison, (history, mut home)) = tokio::try_join!(comparison, history)?;
        let paid_out = self.paid_out(account, &offers).await?;
        if home.country.is_none() {
            home.country = offers.iter().find_map(AccountOffer::market).map(str::to_owned);
        }
        let ledger_totals = match comparison {
            Some(_) => Vec::new(),
            None => self.financings.totals(account).await?,
        };
        let language = viewer.language();
        let mut audience = Audience { home, language, approved: Vec::new() };
        if self.is_live() {
            let country = audience.home.country.as_deref();
            // Only open offers need an approval, and each hash reads the page's templates.
            let open = offers.iter().filter(|offer| offer.is_open());
            let disclaimers =
                open.filter_map(|offer| self.disclaimer(Some(offer), country, language));
            let hashes: Vec<String> = disclaimers.map(|found| self.copy_hash(&found)).collect();
            audience.approved = approvals::store::in_force(&self.db, &hashes).await?;
        }
        Ok(Some(AccountData { offers, comparison, ledger_totals, history, paid_out, audience }))
    }

    /// The movements of these weeks, with the newest rows of at most `listed` of them. Without
    /// balances.
    pub(super) async fn history(
        &self,
        account: &AccountId,
        weeks: Weeks,
        listed: usize,
    ) -> sqlx::Result<History> {
        let lines = self.financings.by_week(account, &weeks).await?;
        let days = History::listed(&lines, listed);
        let ranges: Vec<_> = days.iter().filter_map(|day| weeks.range(*day)).collect();
        let rows = self.financings.newest_of_each(account, &ranges, ROWS_PER_WEEK).await?;
        Ok(History { weeks, lines, rows, balances: Vec::new() })
    }

    /// When each financing was paid out; empty unless there are several.
    pub(super) async fn paid_out(
        &self,
        account: &AccountId,
        offers: &[AccountOffer],
    ) -> sqlx::Result<BTreeMap<String, DateTime<Utc>>> {
        if offers.iter().filter(|offer| was_paid_out(offer)).count() < 2 {
            return Ok(BTreeMap::new());
        }
        Ok(self.financings.payouts_of(account).await?.into_iter().collect())
    }

    /// Whether pages show test data.
    pub(super) fn is_test(&self) -> bool {
        self.financings.livemode() == Some(false)
    }

    /// The account's newest offers, and those that are current however many are newer.
    pub(super) async fn offers(&self, account: &AccountId) -> sqlx::Result<Vec<AccountOffer>> {
        let (account_id, livemode) = (account.as_str(), self.financings.livemode());
        let newest = AccountPage { after: None, livemode, limit: MAX_OFFERS };
        let mut offers = of_account(&self.db, account_id, &newest).await?;
        if offers.len() < usize::try_from(MAX_OFFERS).unwrap_or_default() {
            return Ok(offers);
        }
        let current = current_of_account(&self.db, account_id, livemode, MAX_OFFERS).await?;
        let known: BTreeSet<String> = offers.iter().map(|offer| offer.offer_id.clone()).collect();
        offers.extend(current.into_iter().filter(|offer| !known.contains(&offer.offer_id)));
        Ok(offers)
    }

    /// Stripe's summary; `None` if Stripe is unavailable, and the ledger's totals are shown
    /// instead.
    async fn comparison(&self, account: &AccountId) -> sqlx::Result<Option<SummaryComparison>> {
        match self.financings.compare_summary(account).await {
            Ok(comparison) => Ok(Some(comparison)),
            Err(LookupError::Database(error)) => Err(error),
            Err(LookupError::Stripe(error)) => {
                tracing::warn!(
                    account.id = %account,
                    %error,
                    "Stripe's summary is unavailable: showing the ledger's totals"
                );
                Ok(None)
            }
        }
    }

    /// Whether pages may concern real merchants.
    fn is_live(&self) -> bool {
        self.financings.livemode() != Some(false)
    }

    /// The disclaimer of an offer, or the general one. `None` for real merchants unless the
    /// operator has provided its wording.
    fn disclaimer(
        &self,
        offer: Option<&AccountOffer>,
        country: Option<&str>,
        language: Language,
    ) -> Option<Disclaimer> {
        let variant = offer.and_then(|offer| offer.disclaimer_variant.as_deref());
        let found = self.disclaimers.find(variant, country, &[language]);
        found.filter(|found| !(found.is_sample && self.is_live()))
    }

    fn is_approved(&self, disclaimer: &Disclaimer, audience: &Audience) -> bool {
        let market = disclaimer.market_in(audience.home.country.as_deref());
        market
            .is_some_and(|market| audience.approved.contains(&(self.copy_hash(disclaimer), market)))
    }

    fn copy_hash(&self, disclaimer: &Disclaimer) -> String {
        copy_id(&self.settings.brand.program_name, &self.settings.contacts, disclaimer).hash
    }

    /// The disclaimers of the cards. An open offer may not be shown without its disclaimer, nor in
    /// a wording that Stripe has not approved: for real merchants it is removed from `current` then.
    fn disclaimers(
        &self,
        current: &mut Vec<Card>,
        past: &[Card],
        audience: &Audience,
    ) -> PageDisclaimers {
        let (country, language) = (audience.home.country.as_deref(), audience.language);
        let may_be_shown = |card: &Card| {
            let found = self.disclaimer(Some(&card.offer), country, language);
            found.is_some_and(|found| !self.is_live() || self.is_approved(&found, audience))
        };
        let open = current.len();
        current.retain(|card| card.phase != Phase::Open || may_be_shown(card));
        let is_hidden = current.len() < open;
        // Where nothing is offered, nothing needs a disclaimer.
        let is_over = |card: &&Card| {
            matches!(card.phase, Phase::Rejected | Phase::Canceled | Phase::Expired | Phase::Gone)
        };
        let cards = || current.iter().chain(past).filter(|card| !is_over(card));
        let shown = if cards().next().is_none() {
            Vec::new()
        } else {
            self.disclaimer_texts(cards().map(|card| &card.offer), country, language)
        };
        PageDisclaimers { shown, is_hidden }
    }

    /// Each disclaimer of the offers once; the general one if they have none.
    pub(super) fn disclaimer_texts<'a>(
        &self,
        offers: impl Iterator<Item = &'a AccountOffer>,
        country: Option<&str>,
        language: Language,
    ) -> Vec<DisclaimerText> {
        let mut shown: Vec<Disclaimer> =
            offers.filter_map(|offer| self.disclaimer(Some(offer), country, language)).collect();
        if shown.is_empty() {
            shown.extend(self.disclaimer(None, country, language));
        }
        let mut seen = BTreeSet::new();
        shown.retain(|disclaimer| seen.insert(disclaimer.paragraphs.clone()));
        let texts = shown
            .into_iter()
            .map(|of| DisclaimerText { language: of.language.code(), paragraphs: of.paragraphs });
        texts.collect()
    }

    /// The account's language, for a browser that accepts none of the supported ones.
    pub(super) async fn language_of(&self, account: &AccountId) -> Language {
        let languages = match self.financings.accounts.account(account).await {
            Ok(account) => account.languages(&self.settings.locale_metadata_key),
            Err(_) => Language::preferred(None, None),
        };
        languages.first().copied().unwrap_or(Language::English)
    }

    /// The URLs of the account's pages. Each has a query, so further parameters follow after `&`.
    pub(super) fn paths(&self, viewer: &Viewer) -> minijinja::Value {
        let path = |path: &str| self.settings.path_for(&viewer.account, path, viewer.is_embedded());
        context! {
            section => path("/capital"),
            apply => path("/capital/apply"),
            report => path("/capital/report"),
            transactions => path("/capital/transactions"),
            statement => path("/capital/statement"),
            csv => path("/capital/statement.csv"),
            // For the form of a page, whose action has no query.
            statement_form => self.settings.path("/capital/statement"),
            account_tag => tenant::tag(&viewer.account),
        }
    }
}
