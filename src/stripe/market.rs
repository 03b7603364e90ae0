//! What Stripe documents about each product in each market
//! (<https://docs.stripe.com/capital/how-capital-for-platforms-works>, read on 2026-11-29).
//!
//! About a product that is missing here, nothing is said: Canada, for example, has a disclaimer
//! but no documented terms.
//!
//! Also the address of Stripe's servicing team in each market.

use serde::Deserialize;

use super::{Contract, FinancingType};
use crate::format::locale::Language;

/// The documented terms of a product in a market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketTerms {
    /// Two letters.
    pub country: &'static str,
    pub financing_type: FinancingType,
    /// The days of a payment period at whose end a minimum is due; `None` without a minimum.
    pub minimum_days: Option<i64>,
    /// The merchant's bank account is debited if sales do not cover the minimum.
    pub has_bank_debit: bool,
    pub refill: Refill,
}

/// What a refill does to the running financing (<https://docs.stripe.com/capital/refills>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Refill {
    /// Its payout pays off the running financing.
    Settles,
    /// Both run: sales pay the older one first, at the new rate.
    Stacks,
}

impl Refill {
    /// The name in templates and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

const fn row(
    country: &'static str,
    financing_type: FinancingType,
    minimum_days: Option<i64>,
    has_bank_debit: bool,
    refill: Refill,
) -> MarketTerms {
    MarketTerms { country, financing_type, minimum_days, has_bank_debit, refill }
}

/// The page does not say whether the shortfall of a fixed-term loan is debited.
pub static MARKETS: [MarketTerms; 8] = [
    row("US", FinancingType::FlexLoan, Some(60), true, Refill::Settles),
    row("US", FinancingType::CashAdvance, None, false, Refill::Settles),
    row("US", FinancingType::FixedTermLoan, Some(7), false, Refill::Settles),
    row("AU", FinancingType::FlexLoan, Some(30), true, Refill::Settles),
    row("GB", FinancingType::CashAdvance, None, false, Refill::Stacks),
    row("GB", FinancingType::FlexLoan, Some(7), false, Refill::Stacks),
    row("DE", FinancingType::FlexLoan, Some(7), false, Refill::Stacks),
    row("FR", FinancingType::FlexLoan, Some(7), false, Refill::Stacks),
];

/// The variants of the disclaimer (<https://docs.stripe.com/capital/marketing>): name, market,
/// language, and whether it is the default for accounts of that country.
pub static DISCLAIMER_VARIANTS: [(&str, &str, Language, bool); 7] = [
    ("celtic_us_loan", "US", Language::English, true),
    ("youlend_us_mca", "US", Language::English, false),
    ("youlend_uk_mca", "GB", Language::English, true),
    ("youlend_de_financing", "DE", Language::German, true),
    ("youlend_fr_financing", "FR", Language::French, true),
    ("fundbox_au_financing", "AU", Language::English, true),
    ("fundbox_ca_financing", "CA", Language::English, true),
];

/// The market of a disclaimer; `None` if the variant is unknown.
pub fn market_of_disclaimer(variant: &str) -> Option<&'static str> {
    let found = DISCLAIMER_VARIANTS.iter().find(|(known, ..)| *known == variant);
    found.map(|(_, market, ..)| *market)
}

/// Answers questions and takes complaints about Capital
/// (<https://docs.stripe.com/capital/regulatory-compliance>).
const SERVICING: &str = "capital+support@stripe.com";

/// The markets in which the provider does so.
static SERVICING_BY_PROVIDER: [(&str, &str); 2] =
    [("DE", "stripe-assistance@youlend.com"), ("FR", "stripe-assistance@youlend.com")];

/// The email address for a merchant's questions and complaints.
pub fn servicing_address(country: Option<&str>) -> &'static str {
    let provider = SERVICING_BY_PROVIDER.iter().find(|(market, _)| Some(*market) == country);
    provider.map_or(SERVICING, |(_, address)| address)
}

/// `offered_terms.repayment_interval_configuration`, which overrides the table. Its amounts are
/// those of the maximum advance, and are not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RepaymentInterval {
    pub duration_days: Option<i64>,
    /// In minor units.
    pub minimum_amount: Option<i64>,
    /// In minor units; nothing more is withheld in an interval.
    pub maximum_amount: Option<i64>,
}

/// What may be said about an offer beside its amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProductTerms {
    /// The days of a payment period at whose end a minimum is due; `None` without a minimum, and
    /// if nothing is known about one.
    pub minimum_days: Option<i64>,
    /// Whether it is known that no minimum is due.
    pub has_no_minimum: bool,
    /// Whether it is known that a bank account is debited for a shortfall.
    pub has_bank_debit: bool,
    /// `None` if unknown.
    pub refill: Option<Refill>,
}

/// Longer periods are implausible.
const MAX_PERIOD_DAYS: i64 = 366;

impl ProductTerms {
    /// From the table, by the account's country and the offer's financing type. Stripe's
    /// `interval` overrides the minimum.
    pub fn new(
        country: Option<&str>,
        financing_type: Option<&FinancingType>,
        interval: Option<&RepaymentInterval>,
    ) -> Self {
        let of_country = || MARKETS.iter().filter(|row| Some(row.country) == country);
        let Some(financing_type) = financing_type else {
            // Without a product, what all products of the country have in common.
            let refill = of_country().map(|row| row.refill).next();
            return Self {
                refill: refill.filter(|refill| of_country().all(|row| row.refill == *refill)),
                ..Self::default()
            };
        };
        let row = of_country().find(|row| row.financing_type == *financing_type);
        let documented = row.and_then(|row| row.minimum_days);
        let minimum_days = match Contract::from(Some(financing_type)) {
            Contract::Loan | Contract::FixedTermLoan => minimum_days(documented, interval),
            // Whatever Stripe sends: a cash advance has no minimum.
            Contract::CashAdvance | Contract::Unspecified => None,
        };
        let is_known = row.is_some() || interval.is_some_and(RepaymentInterval::has_no_minimum);
        Self {
            minimum_days,
            has_no_minimum: is_known && minimum_days.is_none(),
            has_bank_debit: minimum_days.is_some() && row.is_some_and(|row| row.has_bank_debit),
            refill: row.map(|row| row.refill),
        }
    }
}

impl RepaymentInterval {
    fn has_no_minimum(&self) -> bool {
        matches!(self.minimum_amount, Some(..=0))
    }
}

fn minimum_days(documented: Option<i64>, interval: Option<&RepaymentInterval>) -> Option<i64> {
    let Some(interval) = interval else { return documented };
    let days = interval.duration_days.filter(|days| (1..=MAX_PERIOD_DAYS).contains(days));
    match interval.minimum_amount {
        Some(_) if interval.has_no_minimum() => None,
        Some(_) => days.or(documented),
        // A length alone does not say that there is a minimum.
        None => documented.map(|documented| days.unwrap_or(documented)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(duration_days: Option<i64>, minimum_amount: Option<i64>) -> RepaymentInterval {
        RepaymentInterval { duration_days, minimum_amount, maximum_amount: None }
    }

    #[test]
    fn the_minimum_that_stripe_sends_overrides_the_table() {
        let [loan, advance] = [FinancingType::FlexLoan, FinancingType::CashAdvance];
        for (country, product, duration, amount, days) in [
            ("US", &loan, Some(45), Some(100), Some(45)),
            ("US", &loan, None, Some(100), Some(60)),
            ("US", &loan, Some(45), None, Some(45)),
            ("US", &loan, None, None, Some(60)),
            ("US", &loan, Some(45), Some(0), None),
            ("US", &loan, Some(-1), Some(100), Some(60)),
            ("US", &loan, Some(i64::MAX), Some(100), Some(60)),
            ("CA", &loan, Some(30), Some(100), Some(30)),
            ("CA", &loan, Some(30), None, None),
            ("US", &advance, Some(7), Some(100), None),
        ] {
            let sent = interval(duration, amount);
            let terms = ProductTerms::new(Some(country), Some(product), Some(&sent));
            assert_eq!(terms.minimum_days, days, "{country} {product} {sent:?}");
            let has_debit = country == "US" && days.is_some();
            assert_eq!(terms.has_bank_debit, has_debit, "{country} {product} {sent:?}");
        }
    }

    #[test]
    fn nothing_is_known_about_a_product_without_a_row() {
        let unknown = FinancingType::from("line_of_credit".to_owned());
        for (country, product) in [
            (Some("CA"), &FinancingType::FlexLoan),
            (Some("DE"), &FinancingType::FixedTermLoan),
            (Some("AU"), &FinancingType::CashAdvance),
            (Some("US"), &unknown),
            (None, &FinancingType::FlexLoan),
        ] {
            let terms = ProductTerms::new(country, Some(product), None);
            assert_eq!(terms, ProductTerms::default(), "{country:?} {product}");
        }
    }

    #[test]
    fn merchants_in_germany_and_france_write_to_the_provider() {
        let provider = "stripe-assistance@youlend.com";
        for (country, address) in [
            (Some("US"), SERVICING),
            (Some("GB"), SERVICING),
            (Some("AU"), SERVICING),
            (Some("CA"), SERVICING),
            (Some("DE"), provider),
            (Some("FR"), provider),
            (Some("BR"), SERVICING),
            (None, SERVICING),
        ] {
            assert_eq!(servicing_address(country), address, "{country:?}");
        }
    }

    #[test]
    fn without_a_product_the_country_decides_what_a_refill_does() {
        for (country, refill) in
            [("US", Some(Refill::Settles)), ("GB", Some(Refill::Stacks)), ("CA", None)]
        {
            let terms = ProductTerms::new(Some(country), None, None);
            assert_eq!(terms, ProductTerms { refill, ..ProductTerms::default() }, "{country}");
        }
    }
}
