//! `/api/v1/accounts/{account}/offers`: an account's offers with their first email, and the
//! timeline of each offer.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::request::{AccountParams, AccountPath, List, PageRequest, Query};
use super::{Platform, Refusal};
use crate::financing::LookupError;
use crate::letters::store::{FirstLetter, first_of_offers};
use crate::maintenance::reconcile::store::has_listed_all;
use crate::offers::store::{AccountOffer, AccountPage, Terms, belongs_to, of_account};
use crate::offers::timeline::{TimelineEntry, page_of_offer};
use crate::stripe::OfferId;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OffersQuery {
    /// Maximum number of entries.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    #[param(pattern = r"^[0-9]{1,16}\.financingoffer_[A-Za-z0-9_-]{1,185}$")]
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineQuery {
    /// Maximum number of entries.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// A financing offer.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names that are promised")]
pub(super) struct Offer {
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer_id: String,
    /// Stripe's status: `undelivered`, `delivered`, `accepted`, `paid_out`, `fully_repaid`,
    /// `expired`, … More values may be added.
    #[schema(example = "delivered")]
    status: String,
    /// False for test data.
    livemode: bool,
    /// As Stripe names it: `cash_advance`, `flex_loan`, `fixed_term_loan`. More values may be
    /// added.
    financing_type: Option<String>,
    /// As Stripe names it: `standard`, or `refill` for an offer that takes over the rest of
    /// another.
    product_type: Option<String>,
    /// Stripe's name for the reason of the offer.
    campaign_type: Option<String>,
    /// Stripe's name for the disclaimer that must accompany the offer.
    disclaimer_variant: Option<String>,
    /// The offered terms; null if Stripe sends none.
    offered_terms: Option<OfferTerms>,
    /// The accepted terms, which may be lower than the offered ones; null before acceptance.
    accepted_terms: Option<OfferTerms>,
    /// The days of a payment period at whose end a minimum is due, from Stripe's terms, else from
    /// its documentation for the product and the account's country; null without a minimum, and
    /// if none is known.
    #[schema(example = 60)]
    minimum_period_days: Option<i64>,
    /// Whether a bank account is debited for what a minimum lacks, as far as is known.
    has_bank_debit: bool,
    /// What a refill does in the account's country: `settles`, its payout pays off the running
    /// financing, or `stacks`, both run; null if unknown.
    #[schema(example = "settles")]
    refill: Option<String>,
    created_at: DateTime<Utc>,
    /// The last moment to apply.
    expires_at: Option<DateTime<Utc>>,
    /// When Stripe wrote the financing off.
    charged_off_at: Option<DateTime<Utc>>,
    /// The offer that replaced this one.
    replacement_offer_id: Option<String>,
    /// The offer that this one replaced.
    replacement_for_offer_id: Option<String>,
    /// The first email about the offer; null if none was created.
    letter: Option<OfferLetter>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Terms)]
struct OfferTerms {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// Minor units.
    #[schema(example = 1_000_000)]
    advance_minor: Option<i64>,
    /// The flat fee, in minor units.
    #[schema(example = 100_000)]
    fee_minor: Option<i64>,
    /// The fraction of daily sales that is withheld: 0.15 is 15 %.
    #[schema(example = 0.15)]
    withhold_rate: Option<f64>,
}

/// The state of an email about the offer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Letter)]
struct OfferLetter {
    /// `waiting`, `sending`, `sent`, `bounced`, `rejected`, `uncertain`, `withdrawn`, `suppressed`
    /// or `held`.
    #[schema(example = "sent")]
    state: String,
    /// Why it was not sent.
    reason: Option<String>,
    /// When the mail relay accepted it.
    sent_at: Option<DateTime<Utc>>,
}

impl Offer {
    fn new(offer: AccountOffer, country: Option<&str>, letter: Option<FirstLetter>) -> Self {
        let product = offer.product_terms(country);
        Self {
            minimum_period_days: product.minimum_days,
            has_bank_debit: product.has_bank_debit,
            refill: product.refill.map(|refill| refill.as_str().to_owned()),
            offered_terms: offer.offered().map(OfferTerms::from),
            accepted_terms: offer.accepted().map(OfferTerms::from),
            letter: letter.map(OfferLetter::from),
            offer_id: offer.offer_id,
            status: offer.status,
            livemode: offer.livemode,
            financing_type: offer.financing_type,
            product_type: offer.product_type,
            campaign_type: offer.campaign_type,
            disclaimer_variant: offer.disclaimer_variant,
            created_at: offer.created_at,
            expires_at: offer.expires_at,
            charged_off_at: offer.charged_off_at,
            replacement_offer_id: offer.replacement_offer_id,
            replacement_for_offer_id: offer.replacement_for_offer_id,
        }
    }
}

impl From<FirstLetter> for OfferLetter {
    fn from(letter: FirstLetter) -> Self {
        let FirstLetter { state, reason, sent_at, .. } = letter;
        Self { state, reason, sent_at }
    }
}

impl From<Terms> for OfferTerms {
    fn from(terms: Terms) -> Self {
        let Terms { currency, advance_minor, fee_minor, withhold_rate } = terms;
        Self { currency, advance_minor, fee_minor, withhold_rate }
    }
}

/// List an account's offers
///
/// Newest first, with their terms, their status and the state of the first email.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/offers",
    operation_id = "listOffers",
    params(AccountParams, OffersQuery),
    responses((
        status = 200,
        body = List<Offer>,
        description = "A page",
        links(("timeline" = (
            operation_id = "showTimeline",
            parameters(
                ("account" = "$request.path.account"),
                ("offer" = "$response.body#/data/0/offer_id"),
            ),
        ))),
    )),
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AccountPath(account): AccountPath,
    Query(query): Query<OffersQuery>,
) -> Result<Json<List<Offer>>, Refusal> {
    let Platform { api, financings, .. } = &platform;
    let page = PageRequest::parse(query.limit, query.cursor.as_deref())?;
    let (after, limit) = (page.after.as_ref(), page.fetch_limit());
    let account_page = AccountPage { after, livemode: financings.livemode(), limit };
    let list = || {
        let list = of_account(&api.db, account.as_str(), &account_page);
        api.query("cannot list an account's offers", list)
    };
    let mut offers = list().await?;
    // Its events may have preceded this service, or were lost: Stripe has the offer.
    let listed = has_listed_all(&api.db, financings.livemode());
    if after.is_none()
        && (offers.is_empty() || !api.query("cannot read the full listings", listed).await?)
    {
        match platform.finder.find_for_request(&account).await {
            // What is known is better than nothing.
            Err(LookupError::Stripe(_)) if !offers.is_empty() => {}
            Err(error) => return Err(api.lookup_refusal(&error, "cannot find an account's offers")),
            Ok(()) => offers = list().await?,
        }
    }
    // A second statement, not a join: each module reads its own table. A letter that is created in
    // between may be missing here and appears in the next response.
    let ids: Vec<String> = offers.iter().map(|offer| offer.offer_id.clone()).collect();
    let first = first_of_offers(&api.db, &ids);
    let letters = api.query("cannot list the letters about an account's offers", first).await?;
    let mut letters: HashMap<String, FirstLetter> =
        letters.into_iter().map(|letter| (letter.offer_id.clone(), letter)).collect();
    let home = if offers.is_empty() {
        None
    } else {
        let locale = financings.locale(&account);
        Some(api.query("cannot look up an account's country", locale).await?)
    };
    let entry = |offer: AccountOffer| {
        let letter = letters.remove(&offer.offer_id);
        Offer::new(offer, home.as_ref().and_then(|home| home.country.as_deref()), letter)
    };
    Ok(page.respond(offers, |offer| offer.cursor().to_string(), entry))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfferPath {
    /// The offer.
    #[param(
        pattern = "^financingoffer_[A-Za-z0-9_-]{1,185}$",
        example = "financingoffer_1Q2w3E4r5T6y7U8i"
    )]
    pub(super) offer: String,
}

/// An entry of a timeline.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Line)]
pub(super) struct TimelineLine {
    happened_at: DateTime<Utc>,
    /// Stripe's event type, or one of ours: `letter.sent`, `offer.delivered`, …
    #[schema(example = "capital.financing_offer.created")]
    kind: String,
    /// The previous status, if the status changed.
    status_before: Option<String>,
    /// The new status, or the one that the event carried.
    status_after: Option<String>,
    /// A reason, for people. Never an email address.
    note: Option<String>,
}

/// Show an offer's timeline
///
/// One entry for each event of Stripe's and each step of ours, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/offers/{offer}/timeline",
    operation_id = "showTimeline",
    params(AccountParams, OfferPath, TimelineQuery),
    responses((status = 200, body = List<TimelineLine>, description = "A page")),
)]
pub(super) async fn timeline(
    State(Platform { api, .. }): State<Platform>,
    AccountPath(account): AccountPath,
    Path(OfferPath { offer }): Path<OfferPath>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<List<TimelineLine>>, Refusal> {
    let page = PageRequest::parse(query.limit, query.cursor.as_deref())?;
    let after = page.after.unwrap_or_default();
    let offer: OfferId = offer.parse().map_err(|_| Refusal::NotFound)?;
    let (account, offer) = (account.as_str(), offer.as_str());
    // Another account's offer is not found, rather than forbidden: its existence is not disclosed.
    if !api.query("cannot look up an offer", belongs_to(&api.db, account, offer)).await? {
        return Err(Refusal::NotFound);
    }
    let list = page_of_offer(&api.db, offer, after, page.fetch_limit());
    let rows = api.query("cannot read an offer's timeline", list).await?;
    Ok(page.respond(rows, |row| row.timeline_entry_id.to_string(), TimelineLine::from))
}

impl From<TimelineEntry> for TimelineLine {
    fn from(entry: TimelineEntry) -> Self {
        let TimelineEntry { happened_at, kind, status_before, status_after, note, .. } = entry;
        Self { happened_at, kind, status_before, status_after, note }
    }
}
