//! Payouts to a merchant's bank, and the movements of the balance that each is made of (<https://docs.stripe.com/api/payouts/object>,
//! <https://docs.stripe.com/api/balance_transactions/object>).

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::deserialize::seconds;

/// Money on its way to a merchant's bank.
#[derive(Clone, Debug, Deserialize)]
pub struct Payout {
    /// `po_…`
    pub id: String,
    /// Minor units of `currency`.
    pub amount: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// `paid`, `pending`, `in_transit`, `canceled` or `failed`.
    pub status: String,
    /// The day on which the bank should have it: midnight UTC of it.
    #[serde(deserialize_with = "seconds")]
    pub arrival_date: DateTime<Utc>,
    /// `completed` where the movements that it is made of can be listed, `in_progress` where not yet, `not_applicable` where never:
    /// a payout by hand, an instant one.
    #[serde(default)]
    pub reconciliation_status: Option<String>,
    /// The movement that is the payout itself.
    #[serde(default)]
    pub balance_transaction: Option<String>,
}

/// One movement of an account's balance. Minor units; money out of the balance has a minus.
#[derive(Clone, Debug, Deserialize)]
pub struct BalanceTransaction {
    /// `txn_…`
    pub id: String,
    /// Lower-case ISO code.
    #[serde(default)]
    pub currency: Option<String>,
    /// Before fees.
    pub amount: i64,
    /// What was kept back of it.
    #[serde(default)]
    pub fee: i64,
    /// Who kept it.
    #[serde(default)]
    pub fee_details: Vec<Fee>,
    /// Stripe's word for what happened.
    #[serde(rename = "type")]
    pub type_: String,
    /// Stripe's word for accountants: what to tell movements apart by (<https://docs.stripe.com/reports/reporting-categories>).
    #[serde(default)]
    pub reporting_category: Option<String>,
}

impl BalanceTransaction {
    /// What to tell it apart by.
    pub fn category(&self) -> &str {
        self.reporting_category.as_deref().unwrap_or(&self.type_)
    }
}

/// One of the fees of a movement.
#[derive(Clone, Debug, Deserialize)]
pub struct Fee {
    /// Minor units.
    pub amount: i64,
    /// `application_fee` is the platform's; `stripe_fee`, `tax` and others are not.
    #[serde(rename = "type")]
    pub type_: String,
}
