//! `/capital`: where an account's financing stands, in the merchant's words.

mod phase;
mod progress;
pub(super) mod view;

use std::collections::BTreeSet;

use axum::response::Response;
use minijinja::context;
use serde::Serialize;

use super::response::value;
use super::{Portal, Shared, Visitor};
use crate::database::{Cursor, with_timeout};
use crate::financing::ledger::{Movement, Totals, Wanted};
use crate::financing::summary::SummaryComparison;
use crate::financing::{AccountLocale, Unanswered};
use crate::format::locale::{Formats, Language};
use crate::letters::wording::Disclaimer;
use crate::offers::store::{OfAccount, of_account};
use crate::stripe::{AccountId, TransactionId};
use phase::{Card, Figures, Phase, cards};
use view::{Row, Writer};

/// More than an account ever had.
const MAX_OFFERS: i64 = 50;
/// So many movements fit on a phone before somebody tires.
const MOVEMENTS: i64 = 20;

/// What is known of an account.
struct Facts {
    offers: Vec<OfAccount>,
    /// None where Stripe never said anything.
    standing: Option<SummaryComparison>,
    /// What the transactions add up to, where Stripe's summary was not there to be held against it.
    alone: Vec<Totals>,
    movements: Vec<Movement>,
    home: AccountLocale,
}

/// Shows the section, with movements older than a place.
pub(super) async fn show(shared: &Shared, visitor: &Visitor, before: Option<&str>) -> Response {
    let (portal, pages) = (&shared.0.0, &shared.0.1);
    let (account, language) = (&visitor.account, visitor.language);
    let after = before.and_then(|word| word.parse().ok());
    let is_later_page = after.is_some();
    let facts = match Box::pin(with_timeout(portal.facts(account, after))).await {
        Ok(facts) => facts,
        Err(error) => return shared.fail(&error, language),
    };
    let now = portal.clock.now();
    let formats = Formats::new(language, facts.home.country.as_deref());
    let writer = Writer { formats: &formats, zone: facts.home.time_zone };
    let totals = facts.standing.as_ref().map_or(&facts.alone, |standing| &standing.totals);
    let known = Figures { offers: facts.offers, standing: facts.standing.as_ref(), totals, now };
    let (mut current, past) = cards(&known);
    let disclaimers = portal.disclaimers(&mut current, &past, &facts.home, language);
    let has_more = facts.movements.len() > usize::try_from(MOVEMENTS).unwrap_or(usize::MAX);
    let shown = facts.movements.iter().take(usize::try_from(MOVEMENTS).unwrap_or(usize::MAX));
    let rows: Vec<Row> =
        shown.map(|movement| writer.row(movement, known.contract_of(movement))).collect();
    let older = has_more
        .then(|| facts.movements.get(rows.len() - 1).map(|movement| movement.cursor().to_string()))
        .flatten();
    let has_stripes = current.iter().any(Card::has_stripes_figures);
    let standing = facts.standing.as_ref().filter(|_| has_stripes);
    let page = context! {
        account_name => facts.home.name.clone(),
        is_test => known.offers.first().is_some_and(|offer| !offer.livemode),
        is_hidden => disclaimers.is_hidden,
        cards => value(current.iter().map(|card| writer.card(card, &facts.home, now)).collect::<Vec<_>>()),
        past => value(past.iter().map(|card| writer.card(card, &facts.home, now)).collect::<Vec<_>>()),
        as_of => standing.map(|standing| writer.moment(standing.as_of)),
        is_current => standing.is_none_or(|standing| standing.is_current),
        rows => value(rows),
        older,
        is_later_page,
        paths => portal.paths(account),
        disclaimers => value(disclaimers.shown),
    };
    pages.answer("capital.html", language, page)
}

/// The disclaimers of a page.
struct Said {
    /// Each once.
    shown: Vec<SaidOnce>,
    /// There is an open offer that may not be shown.
    is_hidden: bool,
}

#[derive(Serialize)]
struct SaidOnce {
    language: &'static str,
    paragraphs: Vec<String>,
}

impl Portal {
    async fn facts(
        &self,
        account: &AccountId,
        after: Option<Cursor<TransactionId>>,
    ) -> sqlx::Result<Facts> {
        let id = account.as_str();
        let offers = of_account(&self.db, id, self.financings.livemode(), MAX_OFFERS).await?;
        let wanted = Wanted { after, ..Wanted::default() };
        let movements = self.financings.movements(account, &wanted, MOVEMENTS + 1).await?;
        let has_begun =
            offers.iter().any(|offer| matches!(offer.status.as_str(), "accepted" | "paid_out"));
        // Side by side: a Stripe that is slow keeps a merchant waiting once.
        let standing = async { if has_begun { self.standing(account).await } else { Ok(None) } };
        let (standing, home) = tokio::try_join!(standing, self.financings.home(account))?;
        let alone = match standing {
            Some(_) => Vec::new(),
            None => self.financings.totals(account).await?,
        };
        Ok(Facts { offers, standing, alone, movements, home })
    }

    /// Stripe's summary; where there is none, our own sums are all there is.
    async fn standing(&self, account: &AccountId) -> sqlx::Result<Option<SummaryComparison>> {
        match self.financings.standing(account).await {
            Ok(standing) => Ok(Some(standing)),
            Err(Unanswered::Database(error)) => Err(error),
            Err(Unanswered::Stripe(error)) => {
                tracing::warn!(account.id = %account, %error, "no summary: showing our own sums");
                Ok(None)
            }
        }
    }

    /// What must stand wherever Capital is spoken of, for each financing what Stripe wants beside it. An open offer may not be shown
    /// without: it is taken out where the operator has not brought the approved wording, and real merchants are looking.
    fn disclaimers(
        &self,
        current: &mut Vec<Card>,
        past: &[Card],
        home: &AccountLocale,
        language: Language,
    ) -> Said {
        let is_live = self.financings.livemode() != Some(false);
        let find = |variant: Option<&str>| {
            let found = self.disclaimers.find(variant, home.country.as_deref(), &[language]);
            found.filter(|found| !(found.is_sample && is_live))
        };
        let of = |card: &Card| find(card.offer.disclaimer_variant.as_deref());
        let open = current.len();
        current.retain(|card| card.phase != Phase::Open || of(card).is_some());
        let is_hidden = current.len() < open;
        let all = current.iter().chain(past);
        let mut shown: Vec<Disclaimer> = all.filter_map(of).collect();
        if shown.is_empty() {
            shown.extend(find(None));
        }
        let mut seen = BTreeSet::new();
        shown.retain(|disclaimer| seen.insert(disclaimer.paragraphs.clone()));
        let shown = shown
            .into_iter()
            .map(|of| SaidOnce { language: of.language.code(), paragraphs: of.paragraphs });
        Said { shown: shown.collect(), is_hidden }
    }

    /// The language of an account whose visitor asked for none that there is.
    pub(super) async fn language_of(&self, account: &AccountId) -> Language {
        let account = self.financings.accounts.account(account).await.ok();
        let account = account.as_deref();
        let said = account
            .and_then(|account| account.metadata.as_ref()?.get(&self.settings.locale_metadata_key))
            .map(String::as_str);
        let country = account.and_then(|account| account.country.as_deref());
        Language::preferred(said, country).first().copied().unwrap_or(Language::English)
    }

    /// Our own pages about an account, as the browser sees them. Each has a `?` already: more words follow after a `&`.
    pub(super) fn paths(&self, account: &AccountId) -> minijinja::Value {
        let path = |path: &str| self.settings.path_for(account, path);
        context! {
            section => path("/capital"),
            apply => path("/capital/apply"),
            report => path("/capital/report"),
            statement => path("/capital/statement"),
            csv => path("/capital/statement.csv"),
        }
    }
}
