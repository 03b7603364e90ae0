//! `capital.financing_offer` (<https://docs.stripe.com/api/capital/financing_offers>).

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::deserialize::{lenient, maybe_id, maybe_seconds, open_enum};
use super::{AccountId, OfferId, RepaymentInterval};
use crate::format::money::is_currency;

/// The fields of an offer that this service uses; the complete object is stored next to them.
#[derive(Clone, Debug, Deserialize)]
pub struct FinancingOffer {
    /// `financingoffer_…`
    pub id: OfferId,
    /// The connected account that the offer is made to.
    pub account: AccountId,
    #[serde(default, deserialize_with = "maybe_seconds")]
    created: Option<DateTime<Utc>>,
    /// The name of `created` in Stripe's examples of webhook bodies. Both may be present.
    #[serde(default, deserialize_with = "maybe_seconds")]
    created_at: Option<DateTime<Utc>>,
    /// The merchant cannot apply after this. Stripe sends a float.
    #[serde(default, rename = "expires_after", deserialize_with = "maybe_seconds")]
    pub expires_at: Option<DateTime<Utc>>,
    pub livemode: bool,
    pub status: OfferStatus,
    /// Absent in some snapshots; without terms no letter can be written.
    pub offered_terms: Option<OfferedTerms>,
    /// Decides the vocabulary of letters.
    pub financing_type: Option<FinancingType>,
    /// A second name for `financing_type`, with one more value.
    #[serde(rename = "type")]
    pub type_: Option<FinancingType>,
    /// A new financing, or one that refinances another.
    pub product_type: Option<ProductType>,
    /// The offer that replaces this one.
    #[serde(default, deserialize_with = "maybe_id")]
    pub replacement: Option<OfferId>,
    /// The offer that this one replaces.
    #[serde(default, deserialize_with = "maybe_id")]
    pub replacement_for: Option<OfferId>,
    #[serde(default, deserialize_with = "maybe_seconds")]
    pub charged_off_at: Option<DateTime<Utc>>,
    /// Selects the mandatory disclaimer. An open list.
    pub disclaimer_variant: Option<String>,
}

impl FinancingOffer {
    /// When the offer was created, if Stripe says.
    pub fn created(&self) -> Option<DateTime<Utc>> {
        self.created.or(self.created_at)
    }

    /// The financing type, by either of its two names.
    pub fn kind_of_financing(&self) -> Option<&FinancingType> {
        self.type_.as_ref().or(self.financing_type.as_ref())
    }

    /// Decides the vocabulary.
    pub fn contract(&self) -> Contract {
        self.kind_of_financing().into()
    }

    /// Whether Stripe names a product that this service has no words for.
    pub fn has_unknown_product(&self) -> bool {
        self.kind_of_financing().is_some_and(FinancingType::is_unknown)
    }
}

/// `offered_terms`. Amounts are minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OfferedTerms {
    /// The maximum.
    pub advance_amount: i64,
    /// The flat fee.
    pub fee_amount: i64,
    /// ISO 4217 code, lower case.
    pub currency: String,
    /// The share of daily sales: 0.15 is 15 %. Any JSON number, possibly out of range.
    pub withhold_rate: f64,
    /// An open list. Missing in some of Stripe's examples.
    pub campaign_type: Option<String>,
    /// Of a refill: the discount on what remains of the running financing's fee. 0.1 is 10 %.
    #[serde(
        default,
        rename = "previous_financing_fee_discount_rate",
        deserialize_with = "lenient"
    )]
    pub fee_discount_rate: Option<f64>,
    #[serde(default, rename = "repayment_interval_configuration", deserialize_with = "lenient")]
    pub repayment_interval: Option<RepaymentInterval>,
}

/// In minor units; far above any offer in any currency.
const MAX_AMOUNT: i64 = 10_000_000_000_000;
/// A smaller rate would be displayed as 0 %.
const MIN_RATE: f64 = 0.000_1;

impl OfferedTerms {
    /// Whether the terms can be shown to a merchant. Stripe's test data contain a rate of 65
    /// million.
    pub fn are_plausible(&self) -> bool {
        (1..=MAX_AMOUNT).contains(&self.advance_amount)
            && (0..=MAX_AMOUNT).contains(&self.fee_amount)
            && (MIN_RATE..=1.0).contains(&self.withhold_rate)
            && is_currency(&self.currency)
    }

    /// The fee discount, if there is one that can be shown.
    pub fn fee_discount(&self) -> Option<f64> {
        self.fee_discount_rate.filter(|rate| (MIN_RATE..=1.0).contains(rate))
    }
}

open_enum! {
    /// The status of an offer (<https://docs.stripe.com/capital/api-integration>).
    OfferStatus {
        /// Not yet shown to the merchant.
        Undelivered = "undelivered",
        /// Shown to the merchant.
        Delivered = "delivered",
        /// The merchant applied.
        Accepted = "accepted",
        /// The advance is paid.
        PaidOut = "paid_out",
        FullyRepaid = "fully_repaid",
        /// The former name of `fully_repaid`; no longer sent.
        Completed = "completed",
        /// Canceled by the merchant before the payout, or reversed after it.
        Canceled = "canceled",
        /// The application failed the review.
        Rejected = "rejected",
        /// The merchant did not apply in time.
        Expired = "expired",
        /// Replaced by another offer.
        Replaced = "replaced",
        /// Withdrawn by Stripe.
        Revoked = "revoked",
        /// The merchant accepted a concurrent offer.
        AcceptedOtherOffer = "accepted_other_offer",
    }
}

open_enum! {
    /// `financing_type`.
    FinancingType {
        /// A purchase of future receipts.
        CashAdvance = "cash_advance",
        /// A loan repaid by a share of sales.
        FlexLoan = "flex_loan",
        /// A loan with a fixed term.
        FixedTermLoan = "fixed_term_loan",
    }
}

impl FinancingType {
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Other(_))
    }
}

/// The kind of contract, which decides the vocabulary
/// (<https://docs.stripe.com/capital/mca-marketing-guidelines>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, serde::Deserialize)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// Paid through a share of sales, in most markets with a minimum due in each period.
    Loan,
    /// Sales are withheld until the minimum of the period is met. Otherwise a loan.
    FixedTermLoan,
    /// A purchase of future receipts: no debt, no term, no minimum.
    CashAdvance,
    /// Absent or unknown: only wording that suits all.
    Unspecified,
}

impl Contract {
    pub const ALL: [Self; 4] =
        [Self::Loan, Self::FixedTermLoan, Self::CashAdvance, Self::Unspecified];

    /// `None` if unspecified.
    pub fn financing_type(self) -> Option<FinancingType> {
        match self {
            Self::Loan => Some(FinancingType::FlexLoan),
            Self::FixedTermLoan => Some(FinancingType::FixedTermLoan),
            Self::CashAdvance => Some(FinancingType::CashAdvance),
            Self::Unspecified => None,
        }
    }

    pub fn is_loan(self) -> bool {
        matches!(self, Self::Loan | Self::FixedTermLoan)
    }

    /// The contract whose terms of art it uses: a fixed-term loan uses those of a loan.
    #[must_use]
    pub fn vocabulary(self) -> Self {
        if self.is_loan() { Self::Loan } else { self }
    }

    /// The name in templates.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<Option<&FinancingType>> for Contract {
    fn from(financing_type: Option<&FinancingType>) -> Self {
        match financing_type {
            Some(FinancingType::CashAdvance) => Self::CashAdvance,
            Some(FinancingType::FlexLoan) => Self::Loan,
            Some(FinancingType::FixedTermLoan) => Self::FixedTermLoan,
            Some(FinancingType::Other(_)) | None => Self::Unspecified,
        }
    }
}

open_enum! {
    /// `product_type`.
    ProductType {
        /// A new financing.
        Standard = "standard",
        /// Refinances the remainder of another.
        Refill = "refill",
    }
}

impl OfferStatus {
    /// Whether the status is final.
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

    /// Whether the offer was shown to the merchant or has ended. False for unknown statuses.
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
    fn optional_fields_may_be_absent_null_or_unknown() {
        let least = json!({
            "id": "financingoffer_1", "account": "acct_1", "created": 1_700_000_000,
            "livemode": false, "status": "undelivered",
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
    fn implausible_terms_are_recognized() {
        let terms = |advance_amount, fee_amount, currency: &str, withhold_rate| OfferedTerms {
            advance_amount,
            fee_amount,
            currency: currency.to_owned(),
            withhold_rate,
            campaign_type: None,
            fee_discount_rate: None,
            repayment_interval: None,
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
    fn times_may_be_floats_and_rates_out_of_range() {
        let offer: FinancingOffer = serde_json::from_value(json!({
            "id": "financingoffer_1", "account": "acct_1", "created_at": 1_700_000_000,
            "livemode": true, "created": 1_600_000_000, "replacement": "odd",
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
