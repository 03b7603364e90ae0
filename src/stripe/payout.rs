//! Payouts to a merchant's bank, and the balance transactions in each
//! (<https://docs.stripe.com/api/payouts/object>,
//! <https://docs.stripe.com/api/balance_transactions/object>).

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::deserialize::seconds;

/// A transfer of an account's balance to the merchant's bank.
#[derive(Clone, Debug, Deserialize)]
pub struct Payout {
    /// `po_…`
    pub id: String,
    /// Minor units of `currency`.
    pub amount: i64,
    /// ISO 4217 code, lower case.
    pub currency: String,
    /// `paid`, `pending`, `in_transit`, `canceled` or `failed`.
    pub status: String,
    /// The expected day of arrival, as its midnight in UTC.
    #[serde(deserialize_with = "seconds")]
    pub arrival_date: DateTime<Utc>,
    /// `completed` if its balance transactions can be listed, `in_progress` if not yet,
    /// `not_applicable` if never: manual and instant payouts.
    pub reconciliation_status: Option<String>,
    /// The balance transaction of the payout itself.
    pub balance_transaction: Option<String>,
}

/// A change of an account's balance, in minor units; negative amounts leave the balance.
#[derive(Clone, Debug, Deserialize)]
pub struct BalanceTransaction {
    /// `txn_…`
    pub id: String,
    /// ISO 4217 code, lower case.
    pub currency: Option<String>,
    /// Before fees.
    pub amount: i64,
    /// The sum of `fee_details`.
    #[serde(default)]
    pub fee: i64,
    #[serde(default)]
    pub fee_details: Vec<Fee>,
    #[serde(rename = "type")]
    pub type_: String,
    /// Finer than `type` (<https://docs.stripe.com/reports/reporting-categories>).
    pub reporting_category: Option<String>,
}

impl BalanceTransaction {
    /// The reporting category, else the type.
    pub fn category(&self) -> &str {
        self.reporting_category.as_deref().unwrap_or(&self.type_)
    }
}

/// A part of [`BalanceTransaction::fee`].
#[derive(Clone, Debug, Deserialize)]
pub struct Fee {
    /// Minor units.
    pub amount: i64,
    /// `application_fee` is the platform's; `stripe_fee`, `tax` and others are not.
    #[serde(rename = "type")]
    pub type_: String,
}
