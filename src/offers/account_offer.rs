//! An offer as the API and the Capital section show it to its account.

use chrono::{DateTime, Utc};
use serde::Deserialize as _;
use serde_json::Value;

use crate::database::Cursor;
use crate::stripe::{
    Contract, FinancingType, OfferedTerms, ProductTerms, ProductType, market_of_disclaimer,
};

/// Terms of an offer. Fields that Stripe did not send in the expected form are `None`: the terms are
/// displayed, and no decision depends on them.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// ISO 4217 code, lower case.
    pub currency: String,
    /// In minor units.
    pub advance_minor: Option<i64>,
    /// In minor units.
    pub fee_minor: Option<i64>,
    /// 0.15 is 15 %.
    pub withhold_rate: Option<f64>,
}

/// An offer as the API and the Capital section show it to its account.
#[derive(Clone, Debug)]
pub struct AccountOffer {
    /// `financingoffer_…`
    pub offer_id: String,
    pub status: String,
    pub livemode: bool,
    /// `standard`, `refill`, or newer.
    pub product_type: Option<String>,
    /// `flex_loan`, `cash_advance`, or newer.
    pub financing_type: Option<String>,
    pub campaign_type: Option<String>,
    /// Selects the mandatory disclaimer.
    pub disclaimer_variant: Option<String>,
    /// ISO 4217 code, lower case.
    pub currency: Option<String>,
    /// As offered, in minor units.
    pub advance_minor: Option<i64>,
    /// As offered, in minor units.
    pub fee_minor: Option<i64>,
    /// As offered: 0.15 is 15 %.
    pub withhold_rate: Option<f64>,
    /// The offer that replaces this one.
    pub replacement_offer_id: Option<String>,
    /// The offer that this one replaces.
    pub replacement_for_offer_id: Option<String>,
    pub created_at: DateTime<Utc>,
    /// The merchant cannot apply after this.
    pub expires_at: Option<DateTime<Utc>>,
    pub charged_off_at: Option<DateTime<Utc>>,
    /// Stripe's object as received.
    pub object: Value,
}

impl AccountOffer {
    /// Decides the vocabulary.
    pub fn contract(&self) -> Contract {
        self.known_financing_type().as_ref().into()
    }

    fn known_financing_type(&self) -> Option<FinancingType> {
        self.financing_type.clone().map(FinancingType::from)
    }

    /// The market, by the disclaimer; `None` if its variant is unknown.
    pub fn market(&self) -> Option<&'static str> {
        market_of_disclaimer(self.disclaimer_variant.as_deref()?)
    }

    /// Whether an application is possible, as far as the status says.
    pub fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "undelivered" | "delivered")
    }

    /// Whether Stripe names a product that this service has no words for.
    pub fn has_unknown_product(&self) -> bool {
        self.known_financing_type().as_ref().is_some_and(FinancingType::is_unknown)
    }

    /// What may be said to an account of this country; if it is unknown, of the market of the
    /// offer's disclaimer. The accepted terms override the offered ones.
    pub fn product_terms(&self, country: Option<&str>) -> ProductTerms {
        let interval_of = |terms| self.terms_in(terms).and_then(|terms| terms.repayment_interval);
        let interval = interval_of("accepted_terms").or_else(|| interval_of("offered_terms"));
        let country = country.or_else(|| self.market());
        ProductTerms::new(country, self.known_financing_type().as_ref(), interval.as_ref())
    }

    /// Whether the offer refinances what remains of another one.
    pub fn is_refill(&self) -> bool {
        self.product_type.as_deref() == Some(ProductType::Refill.as_str())
    }

    /// Of a refill: the discount on what remains of the running financing's fee. 0.1 is 10 %.
    pub fn fee_discount(&self) -> Option<f64> {
        self.offered_terms().filter(|_| self.is_refill())?.fee_discount()
    }

    /// Of a refill: the discount on the earlier financing's fee, in minor units. `None` before that
    /// financing is over, and without a discount (<https://docs.stripe.com/capital/refills>).
    pub fn given_fee_discount(&self) -> Option<i64> {
        given_fee_discount(&self.object).filter(|_| self.is_refill())
    }

    /// One of the two objects of terms; `None` if absent or unreadable.
    fn terms_in(&self, field: &str) -> Option<OfferedTerms> {
        // Not by `->` in SQL, which fails if the object contains a NUL anywhere.
        OfferedTerms::deserialize(self.object.get(field)?).ok()
    }

    /// The offered terms; `None` if Stripe sent none.
    pub fn offered(&self) -> Option<Terms> {
        Some(Terms {
            currency: self.currency.clone()?,
            advance_minor: self.advance_minor,
            fee_minor: self.fee_minor,
            withhold_rate: self.withhold_rate,
        })
    }

    /// The accepted terms, which may be lower than the offered ones; `None` before acceptance and
    /// without a currency.
    pub fn accepted(&self) -> Option<Terms> {
        let terms = self.object.get("accepted_terms")?;
        Some(Terms {
            currency: terms.get("currency")?.as_str()?.to_lowercase(),
            advance_minor: terms.get("advance_amount").and_then(Value::as_i64),
            fee_minor: terms.get("fee_amount").and_then(Value::as_i64),
            withhold_rate: terms.get("withhold_rate").and_then(Value::as_f64),
        })
    }

    /// When it came to a status, such as `accepted`. `None` if it did not, and with API versions
    /// that do not send `status_transitions`.
    pub fn came_to(&self, status: &str) -> Option<DateTime<Utc>> {
        let transitions = self.object.get("status_transitions")?;
        DateTime::from_timestamp(transitions.get(format!("{status}_at"))?.as_i64()?, 0)
    }

    /// All offered terms as Stripe sent them; `None` if one that is required is missing.
    pub fn offered_terms(&self) -> Option<OfferedTerms> {
        self.terms_in("offered_terms")
    }

    /// The cursor of the page that begins after this offer.
    pub fn cursor(&self) -> Cursor<&str> {
        Cursor { created_at: self.created_at, id: &self.offer_id }
    }
}

/// The discount that the object of a refill reports.
pub fn given_fee_discount(refill: &Value) -> Option<i64> {
    let terms = refill.get("accepted_terms")?;
    let minor = terms.get("previous_financing_fee_discount_amount")?.as_i64()?;
    Some(minor).filter(|minor| *minor > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accepted(object: Value) -> Option<Terms> {
        let offer = AccountOffer {
            offer_id: "financingoffer_1".to_owned(),
            status: "accepted".to_owned(),
            livemode: false,
            product_type: None,
            financing_type: None,
            campaign_type: None,
            disclaimer_variant: None,
            currency: None,
            advance_minor: None,
            fee_minor: None,
            withhold_rate: None,
            replacement_offer_id: None,
            replacement_for_offer_id: None,
            created_at: DateTime::UNIX_EPOCH,
            expires_at: None,
            charged_off_at: None,
            object,
        };
        offer.accepted()
    }

    #[test]
    fn malformed_fields_of_accepted_terms_are_none() {
        assert_eq!(accepted(json!({})), None);
        assert_eq!(accepted(json!({"accepted_terms": null})), None);
        let without_currency = json!({"accepted_terms": {"advance_amount": 5}});
        assert_eq!(accepted(without_currency), None);
        let terms = json!({"currency": "USD", "advance_amount": "a lot", "fee_amount": 5});
        let terms = accepted(json!({"accepted_terms": terms})).unwrap();
        assert_eq!(
            (terms.currency.as_str(), terms.advance_minor, terms.fee_minor),
            ("usd", None, Some(5))
        );
    }
}
