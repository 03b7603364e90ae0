//! `/api/v1/accounts/{account}/offers`: an account's offers, and what happened to each.

mod store;

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::account::{Account, OfAccount};
use super::query::{PageOf, Query};
use super::{Platform, Refusal};
use crate::database::with_timeout;
use crate::stripe::OfferId;
use store::Row;

/// Which page of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Entries of a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[param(pattern = r"^[0-9]{1,16}\.financingoffer_[A-Za-z0-9_-]{1,185}$")]
    cursor: Option<String>,
}

/// Which page of a timeline.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WantedLines {
    /// Lines of a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// A page of an account's offers, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Offers {
    data: Vec<Offer>,
    /// Where the next page begins; null after the last.
    next_cursor: Option<String>,
}

/// An offer of financing.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names that are promised")]
struct Offer {
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer_id: String,
    /// Stripe's word: `undelivered`, `delivered`, `accepted`, `paid_out`, `fully_repaid`, `expired`, … An open list.
    #[schema(example = "delivered")]
    status: String,
    /// False for test data.
    livemode: bool,
    /// Stripe's word: `cash_advance`, `flex_loan`, `fixed_term_loan`. An open list.
    financing_type: Option<String>,
    /// Stripe's word: `standard`, or `refill` for one that takes over the rest of another.
    product_type: Option<String>,
    /// Stripe's word: why this account, why now.
    campaign_type: Option<String>,
    /// Stripe's word for the disclaimer that must stand beside the offer.
    disclaimer_variant: Option<String>,
    /// What is offered; null where Stripe does not say.
    offered_terms: Option<Terms>,
    /// What was accepted, which may be less than was offered; null before that.
    accepted_terms: Option<Terms>,
    created_at: DateTime<Utc>,
    /// After this moment nobody can apply.
    expires_at: Option<DateTime<Utc>>,
    /// When Stripe wrote the financing off.
    charged_off_at: Option<DateTime<Utc>>,
    /// The offer that took this one's place.
    replacement_offer_id: Option<String>,
    /// The offer whose place this one took.
    replacement_for_offer_id: Option<String>,
    /// The first letter about it; null where none was opened.
    letter: Option<Letter>,
}

/// The terms of a financing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
struct Terms {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// Minor units.
    #[schema(example = 1_000_000)]
    advance_minor: Option<i64>,
    /// The flat fee, in minor units.
    #[schema(example = 100_000)]
    fee_minor: Option<i64>,
    /// The share of daily sales: 0.15 is 15 %.
    #[schema(example = 0.15)]
    withhold_rate: Option<f64>,
}

/// Where a letter stands.
#[derive(Debug, Serialize, ToSchema)]
struct Letter {
    /// `waiting`, `sending`, `sent`, `bounced`, `rejected`, `uncertain`, `withdrawn`, `suppressed` or `held`.
    #[schema(example = "sent")]
    state: String,
    /// Why, where it was not sent.
    reason: Option<String>,
    /// When the mail relay took it.
    sent_at: Option<DateTime<Utc>>,
}

impl From<Row> for Offer {
    fn from(row: Row) -> Self {
        let offered_terms = row.currency.map(|currency| Terms {
            currency,
            advance_minor: row.advance_minor,
            fee_minor: row.fee_minor,
            withhold_rate: row.withhold_rate,
        });
        let (reason, sent_at) = (row.letter_reason, row.letter_sent_at);
        Self {
            accepted_terms: accepted_terms(&row.object),
            offered_terms,
            letter: row.letter_state.map(|state| Letter { state, reason, sent_at }),
            offer_id: row.offer_id,
            status: row.status,
            livemode: row.livemode,
            financing_type: row.financing_type,
            product_type: row.product_type,
            campaign_type: row.campaign_type,
            disclaimer_variant: row.disclaimer_variant,
            created_at: row.created_at,
            expires_at: row.expires_at,
            charged_off_at: row.charged_off_at,
            replacement_offer_id: row.replacement_offer_id,
            replacement_for_offer_id: row.replacement_for_offer_id,
        }
    }
}

/// Read from the object as Stripe sent it, as far as it can be: nothing decides by them.
fn accepted_terms(object: &Value) -> Option<Terms> {
    let terms = object.get("accepted_terms")?;
    Some(Terms {
        currency: terms.get("currency")?.as_str()?.to_lowercase(),
        advance_minor: terms.get("advance_amount").and_then(Value::as_i64),
        fee_minor: terms.get("fee_amount").and_then(Value::as_i64),
        withhold_rate: terms.get("withhold_rate").and_then(Value::as_f64),
    })
}

/// List an account's offers
///
/// The newest first, with their terms, where they stand, and what became of the letter.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/offers",
    operation_id = "listOffers",
    params(OfAccount, Wanted),
    responses((
        status = 200,
        body = Offers,
        description = "A page",
        links(("timeline" = (
            operation_id = "showTimeline",
            parameters(("account" = "$request.path.account"), ("offer" = "$response.body#/data/0/offer_id")),
        ))),
    )),
)]
pub(super) async fn list(
    State(Platform { api, financings, .. }): State<Platform>,
    Account(account): Account,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Offers>, Refusal> {
    let page = PageOf::read(wanted.limit, wanted.cursor.as_deref())?;
    let (after, limit) = (page.after.as_ref(), page.rows());
    let asked = store::Page { after, livemode: financings.livemode(), limit };
    let rows = with_timeout(store::of_account(&api.db, account.as_str(), &asked)).await;
    let mut rows = api.done(rows, "cannot list an account's offers")?;
    let next_cursor = page.cut(&mut rows, |row| row.cursor().to_string());
    Ok(Json(Offers { data: rows.into_iter().map(Offer::from).collect(), next_cursor }))
}

/// `{account}` is an extractor of its own.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct InPath {
    /// The offer.
    #[param(
        pattern = "^financingoffer_[A-Za-z0-9_-]{1,185}$",
        example = "financingoffer_1Q2w3E4r5T6y7U8i"
    )]
    offer: String,
}

/// A page of what happened to an offer, in the order in which it was written down.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Timeline {
    data: Vec<Line>,
    /// Where the next page begins; null after the last.
    next_cursor: Option<String>,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
struct Line {
    happened_at: DateTime<Utc>,
    /// Stripe's event type, or a word of ours: `letter.sent`, `offer.delivered`, …
    #[schema(example = "capital.financing_offer.created")]
    kind: String,
    /// The status that was replaced.
    status_before: Option<String>,
    /// The status that the offer then had, or that was told.
    status_after: Option<String>,
    /// Why, for a person. Never an address.
    note: Option<String>,
}

/// Show what happened to an offer
///
/// A line for each event of Stripe's and for each step of ours, the oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/offers/{offer}/timeline",
    operation_id = "showTimeline",
    params(
        OfAccount,
        InPath,
        WantedLines,
    ),
    responses((status = 200, body = Timeline, description = "A page")),
)]
pub(super) async fn timeline(
    State(Platform { api, .. }): State<Platform>,
    Account(account): Account,
    Path(InPath { offer }): Path<InPath>,
    Query(wanted): Query<WantedLines>,
) -> Result<Json<Timeline>, Refusal> {
    let page = PageOf::read(wanted.limit, wanted.cursor.as_deref())?;
    let after = page.after.unwrap_or_default();
    let offer: OfferId = offer.parse().map_err(|_| Refusal::NotFound)?;
    let (account, offer) = (account.as_str(), offer.as_str());
    let is_its_own = with_timeout(store::has(&api.db, account, offer)).await;
    if !api.done(is_its_own, "cannot look up an offer")? {
        return Err(Refusal::NotFound);
    }
    let rows = with_timeout(store::timeline(&api.db, offer, after, page.rows())).await;
    let mut rows = api.done(rows, "cannot read an offer's timeline")?;
    let next_cursor = page.cut(&mut rows, |row| row.timeline_entry_id.to_string());
    Ok(Json(Timeline { data: rows.into_iter().map(Line::from).collect(), next_cursor }))
}

impl From<store::Line> for Line {
    fn from(line: store::Line) -> Self {
        let store::Line { happened_at, kind, status_before, status_after, note, .. } = line;
        Self { happened_at, kind, status_before, status_after, note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn accepted_terms_are_read_as_far_as_they_can_be() {
        assert_eq!(accepted_terms(&json!({})), None);
        assert_eq!(accepted_terms(&json!({"accepted_terms": null})), None);
        assert_eq!(
            accepted_terms(&json!({"accepted_terms": {"advance_amount": 5}})),
            None,
            "no currency"
        );
        let odd = json!({"accepted_terms": {"currency": "USD", "advance_amount": "a lot", "fee_amount": 5}});
        let terms = accepted_terms(&odd).unwrap();
        assert_eq!(
            (terms.currency.as_str(), terms.advance_minor, terms.fee_minor),
            ("usd", None, Some(5))
        );
    }
}
