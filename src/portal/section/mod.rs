//! `/capital`: where an account's financing stands, in the merchant's words.

mod phase;
pub(super) mod view;

use axum::response::Response;
use minijinja::context;

use super::answer::value;
use super::{Portal, Shared, Visitor};
use crate::database::{Place, within};
use crate::financing::ledger::{self, Movement, Totals, Wanted};
use crate::financing::summary::Standing;
use crate::financing::{Home, Unanswered};
use crate::flow::offer::store::{OfAccount, of_account};
use crate::locale::{Formats, Language};
use crate::stripe::{AccountId, TransactionId};
use phase::{Card, Known, Phase, cards};
use view::{Row, Writer};

/// More than an account ever had.
const MOST_OFFERS: i64 = 50;
/// So many movements fit on a phone before somebody tires.
const MOVEMENTS: i64 = 20;

/// What is known of an account.
struct Facts {
    offers: Vec<OfAccount>,
    /// None where Stripe never said anything.
    standing: Option<Standing>,
    /// What the transactions add up to, where Stripe's summary was not there to be held against it.
    alone: Vec<Totals>,
    movements: Vec<Movement>,
    home: Home,
}

/// Shows the section, with movements older than a place.
pub(super) async fn show(shared: &Shared, visitor: &Visitor, before: Option<&str>) -> Response {
    let (portal, pages) = (&shared.0.0, &shared.0.1);
    let (account, language) = (&visitor.account, visitor.language);
    let after = before.and_then(|word| word.parse().ok());
    let is_later_page = after.is_some();
    let facts = match within(portal.facts(account, after)).await {
        Ok(facts) => facts,
        Err(error) => return shared.fail(&error, language),
    };
    let now = portal.clock.now();
    let formats = Formats::new(language, facts.home.country.as_deref());
    let writer = Writer { formats: &formats, zone: facts.home.time_zone };
    let totals = facts.standing.as_ref().map_or(&facts.alone, |standing| &standing.totals);
    let known = Known { offers: facts.offers, standing: facts.standing.as_ref(), totals, now };
    let (mut current, past) = cards(&known);
    let disclaimer = portal.disclaimer(&current, &facts.home, language);
    if disclaimer.is_none() {
        // An offer may not be spoken of without it.
        current.retain(|card| card.phase != Phase::Open);
    }
    let has_more = facts.movements.len() > usize::try_from(MOVEMENTS).unwrap_or(usize::MAX);
    let shown = facts.movements.iter().take(usize::try_from(MOVEMENTS).unwrap_or(usize::MAX));
    let rows: Vec<Row> = shown.map(|movement| writer.row(movement)).collect();
    let older = has_more
        .then(|| facts.movements.get(rows.len() - 1).map(|movement| movement.place().to_string()))
        .flatten();
    let standing = facts.standing.as_ref();
    let page = context! {
        account_name => facts.home.name.clone(),
        is_test => known.offers.first().is_some_and(|offer| !offer.livemode),
        cards => value(current.iter().map(|card| writer.card(card, &facts.home, now)).collect::<Vec<_>>()),
        past => value(past.iter().map(|card| writer.card(card, &facts.home, now)).collect::<Vec<_>>()),
        as_of => standing.map(|standing| writer.moment(standing.as_of)),
        is_current => standing.is_none_or(|standing| standing.is_current),
        rows => value(rows),
        older,
        is_later_page,
        paths => portal.paths(account),
        disclaimer => disclaimer.unwrap_or_default(),
    };
    pages.answer("capital.html", language, page)
}

impl Portal {
    async fn facts(&self, account: &AccountId, after: Option<Place<TransactionId>>) -> sqlx::Result<Facts> {
        let id = account.as_str();
        let offers = of_account(&self.db, id, MOST_OFFERS).await?;
        let wanted = Wanted { after, ..Wanted::default() };
        let movements = ledger::store::page(&self.db, id, &wanted, MOVEMENTS + 1).await?;
        let has_begun = offers.iter().any(|offer| matches!(offer.status.as_str(), "accepted" | "paid_out"));
        // Side by side: a Stripe that is slow keeps a merchant waiting once.
        let standing = async { if has_begun { self.standing(account).await } else { Ok(None) } };
        let (standing, home) = tokio::try_join!(standing, self.financings.home(account))?;
        let alone = match standing {
            Some(_) => Vec::new(),
            None => ledger::store::totals(&self.db, id).await?,
        };
        Ok(Facts { offers, standing, alone, movements, home })
    }

    /// Stripe's summary; where there is none, our own sums are all there is.
    async fn standing(&self, account: &AccountId) -> sqlx::Result<Option<Standing>> {
        match self.financings.standing(account).await {
            Ok(standing) => Ok(Some(standing)),
            Err(Unanswered::Database(error)) => Err(error),
            Err(Unanswered::Stripe(error)) => {
                tracing::warn!(account.id = %account, %error, "no summary: showing our own sums");
                Ok(None)
            }
        }
    }

    /// The paragraphs that must stand wherever Capital is spoken of; none where the operator has not brought the approved ones, and real
    /// merchants are looking.
    fn disclaimer(&self, cards: &[Card], home: &Home, language: Language) -> Option<Vec<String>> {
        let offer = cards.first().map(|card| &card.offer);
        let variant = offer.and_then(|offer| offer.disclaimer_variant.as_deref());
        let found = self.disclaimers.find(variant, home.country.as_deref(), &[language])?;
        let is_live = offer.is_some_and(|offer| offer.livemode);
        (!(found.is_sample && is_live)).then_some(found.paragraphs)
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
