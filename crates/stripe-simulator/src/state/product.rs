//! What Capital offers in which country
//! (<https://docs.stripe.com/capital/how-capital-for-platforms-works>, as of autumn 2026).
//!
//! The page has no row for Canada; the disclaimer of its provider alone is documented. It names
//! the loans of Australia, Great Britain, Germany and France, and not their `financing_type`: that
//! it is `flex_loan` is an assumption, as is `line_of_credit`.

use serde_json::Value;

use super::ledger::Schedule;
use super::offer::{INTERVAL_CONFIGURATION, NewOffer, RepaymentInterval};

/// A product in a country. Terms that Stripe does not document are `None` or `Undocumented`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Two letters.
    pub country: &'static str,
    /// `financing_type` and `type` of its offers.
    pub financing_type: &'static str,
    pub provider: &'static str,
    pub minimum: Minimum,
    /// Whether a bank account is debited for what a minimum lacks.
    pub bank_debit: Option<bool>,
    pub refills: Option<Refills>,
}

/// When a minimum payment falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minimum {
    Never,
    /// At the end of each interval of so many days.
    EveryDays(u32),
    /// As `EveryDays`, and no more than it is withheld in an interval.
    EveryDaysCapped(u32),
    /// For each draw nine monthly payments.
    MonthlyPerDraw,
    Undocumented,
}

impl Minimum {
    /// The length of a repayment interval in days.
    pub fn days(self) -> Option<u32> {
        match self {
            Self::EveryDays(days) | Self::EveryDaysCapped(days) => Some(days),
            Self::Never | Self::MonthlyPerDraw | Self::Undocumented => None,
        }
    }
}

/// What a refill does to the financing before it
/// (<https://docs.stripe.com/capital/refills>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refills {
    /// Its advance pays off the old financing.
    Settle,
    /// Both run: the old financing is paid first, at the new rate.
    Stack,
}

const BANKS: &str = "Celtic Bank or Lead Bank";

pub const PRODUCTS: [Product; 10] = [
    Product {
        country: "US",
        financing_type: "flex_loan",
        provider: BANKS,
        minimum: Minimum::EveryDays(60),
        bank_debit: Some(true),
        refills: Some(Refills::Settle),
    },
    Product {
        country: "US",
        financing_type: "cash_advance",
        provider: "YouLend",
        minimum: Minimum::Never,
        bank_debit: Some(false),
        refills: Some(Refills::Settle),
    },
    Product {
        country: "US",
        financing_type: "fixed_term_loan",
        provider: BANKS,
        minimum: Minimum::EveryDaysCapped(7),
        bank_debit: None,
        refills: Some(Refills::Settle),
    },
    Product {
        country: "US",
        financing_type: "line_of_credit",
        provider: BANKS,
        minimum: Minimum::MonthlyPerDraw,
        bank_debit: None,
        refills: None,
    },
    Product {
        country: "AU",
        financing_type: "flex_loan",
        provider: "Fundbox",
        minimum: Minimum::EveryDays(30),
        bank_debit: Some(true),
        refills: Some(Refills::Settle),
    },
    Product {
        country: "CA",
        financing_type: "flex_loan",
        provider: "Fundbox",
        minimum: Minimum::Undocumented,
        bank_debit: None,
        refills: None,
    },
    Product {
        country: "GB",
        financing_type: "cash_advance",
        provider: "YouLend",
        minimum: Minimum::Never,
        bank_debit: Some(false),
        refills: Some(Refills::Stack),
    },
    Product {
        country: "GB",
        financing_type: "flex_loan",
        provider: "YouLend",
        minimum: Minimum::EveryDays(7),
        bank_debit: Some(false),
        refills: Some(Refills::Stack),
    },
    Product {
        country: "DE",
        financing_type: "flex_loan",
        provider: "YouLend GmbH",
        minimum: Minimum::EveryDays(7),
        bank_debit: Some(false),
        refills: Some(Refills::Stack),
    },
    Product {
        country: "FR",
        financing_type: "flex_loan",
        provider: "YouLend SAS",
        minimum: Minimum::EveryDays(7),
        bank_debit: Some(false),
        refills: Some(Refills::Stack),
    },
];

impl Product {
    /// None for what Stripe does not offer there. An offer of it can be made all the same, to see
    /// what a client does with a product that it does not know.
    pub fn find(country: &str, financing_type: &str) -> Option<&'static Self> {
        let is = |product: &&Self| {
            product.country == country && product.financing_type == financing_type
        };
        PRODUCTS.iter().find(is)
    }

    /// Without a documented way for the product, that of its country, else settling.
    pub(crate) fn refills(country: &str, financing_type: &str) -> Refills {
        let own = Self::find(country, financing_type).and_then(|product| product.refills);
        let mut of_country = PRODUCTS.iter().filter(|product| product.country == country);
        let of_country = || of_country.find_map(|product| product.refills);
        own.or_else(of_country).unwrap_or(Refills::Settle)
    }
}

/// In so many days the minimum payments add up to the total. An assumption.
const DAYS_TO_PAY: i64 = 540;

impl Schedule {
    /// Of `total` minor units. The minimum is rounded up.
    pub(crate) fn new(days: i64, total: i64) -> Self {
        let intervals = (DAYS_TO_PAY / days).max(1);
        let minimum = total / intervals + i64::from(total % intervals > 0);
        Self { days, minimum, maximum: None }
    }
}

/// What Stripe sends with a fixed-term loan, as the documentation has it. With others it is absent.
pub(crate) fn default_interval(country: &str, new: &NewOffer) -> Option<RepaymentInterval> {
    let product = Product::find(country, &new.financing_type)?;
    let Minimum::EveryDaysCapped(days) = product.minimum else { return None };
    let schedule = Schedule::new(days.into(), new.advance_amount + new.fee_amount);
    Some(RepaymentInterval {
        duration_days: Some(schedule.days),
        minimum_amount: Some(schedule.minimum),
        maximum_amount: Some(schedule.minimum),
    })
}

/// By the accepted terms, and for what they leave open by the table.
pub(crate) fn schedule_of(country: &str, offer: &Value) -> Option<Schedule> {
    let terms = &offer["accepted_terms"];
    let sent = |name: &str| terms[INTERVAL_CONFIGURATION][name].as_i64();
    let product = Product::find(country, offer["financing_type"].as_str().unwrap_or_default());
    let by_table = product.and_then(|product| product.minimum.days()).map(i64::from);
    let days = sent("duration_days").or(by_table).filter(|days| *days > 0)?;
    let amount = |name: &str| terms[name].as_i64().unwrap_or_default();
    let by_total = Schedule::new(days, amount("advance_amount") + amount("fee_amount"));
    Some(Schedule {
        minimum: sent("minimum_amount").unwrap_or(by_total.minimum),
        maximum: sent("maximum_amount"),
        ..by_total
    })
}
