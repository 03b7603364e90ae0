//! `capital.financing_offer` as Stripe sends it (<https://docs.stripe.com/api/capital/financing_offers>).

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::deserialize::{maybe_id, maybe_seconds, open_enum};
use super::{AccountId, OfferId};
use crate::format::money::is_currency;

/// One financing offer. Only what decides or is shown is read; the whole object is kept beside it as it came.
#[derive(Clone, Debug, Deserialize)]
pub struct FinancingOffer {
    /// `financingoffer_…`
    pub id: OfferId,
    /// The connected account that the offer is made to.
    pub account: AccountId,
    /// When Stripe made it.
    #[serde(flatten)]
    made: Made,
    /// After this moment it can no longer be accepted. Stripe sends seconds as a float.
    #[serde(default, rename = "expires_after", deserialize_with = "maybe_seconds")]
    pub expires_at: Option<DateTime<Utc>>,
    /// False for test data.
    pub livemode: bool,
    /// Where the offer stands.
    pub status: OfferStatus,
    /// What is offered. Absent in objects that Stripe renders for some other purpose: then no letter can be written.
    #[serde(default)]
    pub offered_terms: Option<OfferedTerms>,
    /// The kind of financing, which decides the vocabulary.
    #[serde(default)]
    pub financing_type: Option<FinancingType>,
    /// Stripe's second name for `financing_type`, with one value more.
    #[serde(default, rename = "type")]
    pub type_: Option<FinancingType>,
    /// First financing, or one that takes over the rest of another.
    #[serde(default)]
    pub product_type: Option<ProductType>,
    /// The offer that took this one's place.
    #[serde(default, deserialize_with = "maybe_id")]
    pub replacement: Option<OfferId>,
    /// The offer whose place this one took.
    #[serde(default, deserialize_with = "maybe_id")]
    pub replacement_for: Option<OfferId>,
    /// When Stripe wrote the financing off.
    #[serde(default, deserialize_with = "maybe_seconds")]
    pub charged_off_at: Option<DateTime<Utc>>,
    /// Which mandatory disclaimer the copy must carry. An open list.
    #[serde(default)]
    pub disclaimer_variant: Option<String>,
}

/// Examples in Stripe's documentation call it `created_at` inside webhook bodies; both may come.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Made {
    #[serde(default, deserialize_with = "maybe_seconds")]
    created: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_seconds")]
    created_at: Option<DateTime<Utc>>,
}

impl FinancingOffer {
    /// When Stripe made it; none where Stripe did not say.
    pub fn created(&self) -> Option<DateTime<Utc>> {
        self.made.created.or(self.made.created_at)
    }

    /// The kind of financing, by whichever of Stripe's two names it came.
    pub fn kind_of_financing(&self) -> Option<&FinancingType> {
        self.type_.as_ref().or(self.financing_type.as_ref())
    }

    /// Which words are right for it.
    pub fn contract(&self) -> Contract {
        self.kind_of_financing().into()
    }
}

/// `offered_terms`. Amounts are minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OfferedTerms {
    /// What the merchant can get, at most.
    pub advance_amount: i64,
    /// The flat fee for it.
    pub fee_amount: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// The share of daily sales that goes to the financing: 0.15 is 15 %. Any JSON number, also out of range.
    pub withhold_rate: f64,
    /// Why this account, why now: an open list. Missing in some of Stripe's own examples.
    #[serde(default)]
    pub campaign_type: Option<String>,
}

/// More than any merchant was ever offered, in the minor units of any currency.
const MAX_AMOUNT: i64 = 10_000_000_000_000;
/// A smaller share of sales is written as 0 %.
const MIN_RATE: f64 = 0.000_1;

impl OfferedTerms {
    /// Whether a merchant may read them: Stripe's own test data have a share of 65 million, and a
    /// slip may have anything.
    pub fn are_plausible(&self) -> bool {
        (1..=MAX_AMOUNT).contains(&self.advance_amount)
            && (0..=MAX_AMOUNT).contains(&self.fee_amount)
            && (MIN_RATE..=1.0).contains(&self.withhold_rate)
            && is_currency(&self.currency)
    }
}

open_enum! {
    /// The status of an offer (<https://docs.stripe.com/capital/api-integration>, the table of states).
    OfferStatus {
        /// Made, and not yet shown to the merchant.
        Undelivered = "undelivered",
        /// Shown to the merchant.
        Delivered = "delivered",
        /// The merchant applied.
        Accepted = "accepted",
        /// The money is on its way.
        PaidOut = "paid_out",
        /// All of it has come back.
        FullyRepaid = "fully_repaid",
        /// Stripe's former word for the end; no longer sent.
        Completed = "completed",
        /// Taken back: before the payout by the merchant, or after it.
        Canceled = "canceled",
        /// The review failed.
        Rejected = "rejected",
        /// Nobody applied in time.
        Expired = "expired",
        /// Another offer took its place.
        Replaced = "replaced",
        /// Taken back by Stripe.
        Revoked = "revoked",
        /// The merchant took another offer that was made beside this one.
        AcceptedOtherOffer = "accepted_other_offer",
    }
}

open_enum! {
    /// `financing_type`: what kind of contract it is.
    FinancingType {
        /// A purchase of future receipts.
        CashAdvance = "cash_advance",
        /// A loan paid by a share of sales.
        FlexLoan = "flex_loan",
        /// A loan with a fixed term.
        FixedTermLoan = "fixed_term_loan",
    }
}

/// The kind of contract, as far as it decides which words are right
/// (<https://docs.stripe.com/capital/mca-marketing-guidelines>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, serde::Deserialize)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// With a minimum due in each period.
    Loan,
    /// A purchase of future receipts: no debt, no term, no minimum.
    CashAdvance,
    /// Stripe did not say, or said something new: only words that are right for both.
    Unspecified,
}

impl Contract {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Loan, Self::CashAdvance, Self::Unspecified];

    /// The word that templates ask for.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<Option<&FinancingType>> for Contract {
    fn from(financing_type: Option<&FinancingType>) -> Self {
        match financing_type {
            Some(FinancingType::CashAdvance) => Self::CashAdvance,
            Some(FinancingType::FlexLoan | FinancingType::FixedTermLoan) => Self::Loan,
            Some(FinancingType::Other(_)) | None => Self::Unspecified,
        }
    }
}

/// What a refill does to the financing that still runs, by the account's country: `settles`,
/// `stacks`, or nothing where Stripe does not say (<https://docs.stripe.com/capital/refills>).
pub fn refill_way(country: Option<&str>) -> &'static str {
    match country {
        Some("US" | "AU") => "settles",
        Some("GB" | "FR" | "DE") => "stacks",
        Some(_) | None => "",
    }
}

open_enum! {
    /// `product_type`.
    ProductType {
        /// A financing of its own.
        Standard = "standard",
        /// One that takes over the rest of another.
        Refill = "refill",
    }
}

impl OfferStatus {
    /// Whether an offer's life is over with this status: nothing should follow.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Expired
            | Self::Replaced
            | Self::Revoked
            | Self::AcceptedOtherOffer
            | Self::Canceled
            | Self::Rejected
            | Self::FullyRepaid
            | Self::Completed => true,
            Self::Undelivered
            | Self::Delivered
            | Self::Accepted
            | Self::PaidOut
            | Self::Other(_) => false,
        }
    }

    /// Whether this says that the merchant was shown the offer, or that it is over. A word that we
    /// do not know says neither.
    pub fn is_past_undelivered(&self) -> bool {
        match self {
            Self::Undelivered | Self::Other(_) => false,
            Self::Delivered
            | Self::Accepted
            | Self::PaidOut
            | Self::FullyRepaid
            | Self::Completed
            | Self::Canceled
            | Self::Rejected
            | Self::Expired
            | Self::Replaced
            | Self::Revoked
            | Self::AcceptedOtherOffer => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_offer_is_read_with_everything_optional_absent_or_null_and_the_unknown_ignored() {
        let least = json!({
            "id": "financingoffer_1", "account": "acct_1", "created": 1_700_000_000, "livemode": false,
            "status": "undelivered",
        });
        let mut nulls = least.clone();
        for field in [
            "expires_after",
            "offered_terms",
            "financing_type",
            "type",
            "product_type",
            "replacement",
            "replacement_for",
            "charged_off_at",
            "disclaimer_variant",
        ] {
            nulls[field] = json!(null);
        }
        nulls["something_new"] = json!({"deep": [1, 2]});
        for value in [least, nulls] {
            let offer: FinancingOffer = serde_json::from_value(value).unwrap();
            assert_eq!(offer.status, OfferStatus::Undelivered);
            assert!(offer.offered_terms.is_none() && offer.expires_at.is_none());
        }
    }

    #[test]
    fn terms_that_no_merchant_should_read_are_told_from_others() {
        let terms = |advance_amount, fee_amount, currency: &str, withhold_rate| OfferedTerms {
            advance_amount,
            fee_amount,
            currency: currency.to_owned(),
            withhold_rate,
            campaign_type: None,
        };
        for good in [
            terms(100_000, 10_000, "usd", 0.15),
            terms(1, 0, "JPY", 1.0),
            terms(1, 0, "eur", 0.000_1),
        ] {
            assert!(good.are_plausible(), "{good:?}");
        }
        for bad in [
            terms(0, 0, "usd", 0.15),
            terms(-1, 0, "usd", 0.15),
            terms(1, -1, "usd", 0.15),
            terms(i64::MAX, 0, "usd", 0.15),
            terms(1, i64::MAX, "usd", 0.15),
            terms(1, 0, "", 0.15),
            terms(1, 0, "<script>", 0.15),
            terms(1, 0, "\u{202e}", 0.15),
            terms(1, 0, "usd", 0.0),
            terms(1, 0, "usd", 1e-300),
            terms(1, 0, "usd", 0.000_04),
            terms(1, 0, "usd", 1.01),
            terms(1, 0, "usd", -0.1),
            terms(1, 0, "usd", f64::NAN),
        ] {
            assert!(!bad.are_plausible(), "{bad:?}");
        }
    }

    #[test]
    fn times_come_as_floats_and_a_rate_may_be_an_integer_out_of_range() {
        let offer: FinancingOffer = serde_json::from_value(json!({
            "id": "financingoffer_1", "account": "acct_1", "created_at": 1_700_000_000, "livemode": true,
            "created": 1_600_000_000, "replacement": "odd",
            "status": "brand_new", "expires_after": 1_700_000_000.5,
            "offered_terms": {"advance_amount": 100_000, "fee_amount": 10_000, "currency": "usd",
                              "withhold_rate": 65_076_826},
        }))
        .unwrap();
        assert_eq!(offer.expires_at.unwrap().timestamp_millis(), 1_700_000_000_500);
        assert_eq!(offer.status, OfferStatus::Other("brand_new".into()));
        assert_eq!(offer.created().unwrap().timestamp(), 1_600_000_000, "both names at once");
        assert!((offer.offered_terms.unwrap().withhold_rate - 65_076_826.0).abs() < f64::EPSILON);
    }
}
