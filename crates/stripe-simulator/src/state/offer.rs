//! Financing offers (<https://docs.stripe.com/api/capital/financing_offers>).

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::market::Market;

#[derive(Clone, Debug)]
pub struct NewOffer {
    /// Minor units.
    pub advance_amount: i64,
    /// Minor units.
    pub fee_amount: i64,
    /// Lower-case ISO code; that of the account's country if absent.
    pub currency: Option<String>,
    /// A fraction of sales.
    pub withhold_rate: f64,
    /// `standard` or `refill`.
    pub product_type: String,
    /// One of [`PRODUCTS`](crate::PRODUCTS), or any other.
    pub financing_type: String,
    /// `newly_eligible_user`, `previously_eligible_user` or `repeat_user`.
    pub campaign_type: String,
    /// Of a refill: the fraction of the old financing's remaining fee that need not be paid.
    pub fee_discount_rate: Option<f64>,
    /// Sent if it is given. A fixed-term loan has one of its own without it.
    pub repayment_interval: Option<RepaymentInterval>,
    /// Until `expires_after`. Stripe's offers are open for about 30 days.
    pub open_for: TimeDelta,
}

/// `repayment_interval_configuration`. Each part may be null. Amounts are minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepaymentInterval {
    pub duration_days: Option<i64>,
    pub minimum_amount: Option<i64>,
    pub maximum_amount: Option<i64>,
}

impl RepaymentInterval {
    fn object(self) -> Value {
        json!({
            "duration_days": self.duration_days, "maximum_amount": self.maximum_amount,
            "minimum_amount": self.minimum_amount,
        })
    }
}

impl Default for NewOffer {
    fn default() -> Self {
        Self {
            advance_amount: 100_000,
            fee_amount: 10_000,
            currency: None,
            withhold_rate: 0.15,
            product_type: "standard".to_owned(),
            financing_type: "flex_loan".to_owned(),
            campaign_type: "newly_eligible_user".to_owned(),
            fee_discount_rate: None,
            repayment_interval: None,
            open_for: TimeDelta::days(30),
        }
    }
}

pub(crate) const INTERVAL_CONFIGURATION: &str = "repayment_interval_configuration";

#[derive(Default, Serialize, Deserialize)]
#[serde(from = "SavedOffers")]
pub(crate) struct Offers {
    /// Oldest first.
    objects: Vec<Value>,
    #[serde(skip)]
    positions: HashMap<String, usize>,
    /// How often `mark_delivered` was carried out, by offer.
    pub(crate) delivered_marks: HashMap<String, u32>,
    /// When an offer became delivered, in seconds since 1970. Stripe's object has no field for it.
    pub(crate) delivered_at: HashMap<String, i64>,
}

/// [`Offers`] without what is computed from them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedOffers {
    objects: Vec<Value>,
    delivered_marks: HashMap<String, u32>,
    delivered_at: HashMap<String, i64>,
}

impl From<SavedOffers> for Offers {
    fn from(saved: SavedOffers) -> Self {
        let SavedOffers { objects, delivered_marks, delivered_at } = saved;
        let mut offers = Self { objects, positions: HashMap::new(), delivered_marks, delivered_at };
        offers.index();
        offers
    }
}

impl Offers {
    pub(crate) fn push(&mut self, offer: Value) {
        let id = offer["id"].as_str().unwrap_or_default().to_owned();
        self.positions.insert(id, self.objects.len());
        self.objects.push(offer);
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> &[Value] {
        &self.objects
    }

    /// Puts offers whose times are in the past in their places.
    pub(crate) fn sort(&mut self) {
        self.objects.sort_by_key(|offer| offer["created"].as_i64());
        self.index();
    }

    fn index(&mut self) {
        let ids = self.objects.iter().map(|offer| text(&offer["id"]));
        self.positions = ids.enumerate().map(|(position, id)| (id, position)).collect();
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Value> {
        self.objects.get(*self.positions.get(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.objects.get_mut(*self.positions.get(id)?)
    }

    /// An undelivered offer becomes delivered. False in any other status, or without the offer.
    pub(crate) fn set_delivered(&mut self, id: &str, now: DateTime<Utc>) -> bool {
        let offer = self.get_mut(id);
        let Some(offer) = offer.filter(|offer| offer["status"] == "undelivered") else {
            return false;
        };
        offer["status"] = json!("delivered");
        self.delivered_at.insert(id.to_owned(), now.timestamp());
        true
    }

    /// An account's offers, newest first.
    pub(crate) fn of_account<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().rev().filter(move |offer| offer["account"] == account)
    }
}

/// The object of a new offer to an account of this market.
pub(super) fn offer_object(
    (id, account): (&str, &str),
    new: &NewOffer,
    market: &Market,
    now: DateTime<Utc>,
) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "Stripe sends this time as a float too")]
    let expires_after = (now + new.open_for).timestamp() as f64;
    let mut offer = json!({
        "id": id, "object": "capital.financing_offer", "account": account,
        "created": now.timestamp(), "expires_after": expires_after,
        "status": "undelivered", "metadata": {}, "financing_type": new.financing_type,
        "type": new.financing_type, "product_type": new.product_type,
        "disclaimer_variant": market.disclaimer(&new.financing_type),
        "offered_terms": {
            "advance_amount": new.advance_amount, "campaign_type": new.campaign_type,
            "currency": new.currency.as_deref().unwrap_or(market.currency),
            "fee_amount": new.fee_amount,
            "previous_financing_fee_discount_rate": new.fee_discount_rate,
            "withhold_rate": new.withhold_rate,
        },
        "status_transitions": no_transitions(),
    });
    if let Some(interval) = new.repayment_interval {
        offer["offered_terms"][INTERVAL_CONFIGURATION] = interval.object();
    }
    offer
}

/// `status_transitions` of a new offer: a time for each status that it may come to.
pub(crate) fn no_transitions() -> Value {
    json!({
        "accepted_at": null, "canceled_at": null, "fully_repaid_at": null, "paid_out_at": null,
        "rejected_at": null, "replaced_at": null,
    })
}

/// Whether `expires_after` has passed. Stripe may call such an offer open for a while longer, but
/// nothing that needs an open offer may be relied on.
pub(crate) fn is_past_expiry(offer: &Value, now: DateTime<Utc>) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "Stripe sends this time as a float too")]
    let now = now.timestamp() as f64;
    offer["expires_after"].as_f64().is_some_and(|end| now >= end)
}

/// The accepted terms, or before an application the offered ones.
pub(crate) fn current_terms(offer: &Value) -> &Value {
    let accepted = &offer["accepted_terms"];
    if accepted.is_null() { &offer["offered_terms"] } else { accepted }
}

/// A string in one of Stripe's objects; empty if absent.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
