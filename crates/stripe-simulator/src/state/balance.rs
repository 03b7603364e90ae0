//! An account's balance at Stripe.
//!
//! An advance comes into a fund of its own, which a payout of its own empties at once. It never
//! mixes with sales (<https://docs.stripe.com/capital/connect-integration>).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A part of the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fund {
    Sales,
    Financing,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Balance {
    /// By currency.
    funds: BTreeMap<String, BTreeMap<Fund, FundBalance>>,
    /// Balance transactions, oldest first.
    pub(crate) transactions: Vec<Value>,
    /// Oldest first.
    pub(crate) payouts: Vec<Value>,
    /// The payout that each balance transaction is part of.
    pub(crate) payout_of: BTreeMap<String, String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FundBalance {
    /// Minor units; negative after a refund of what was paid out.
    pub(crate) available: i64,
    /// Balance transactions that are in no payout yet.
    pub(crate) unpaid: Vec<String>,
}

impl Balance {
    pub(crate) fn fund(&mut self, currency: &str, fund: Fund) -> &mut FundBalance {
        self.funds.entry(currency.to_owned()).or_default().entry(fund).or_default()
    }

    /// What can be paid out or paid with, in minor units.
    pub(crate) fn available(&self, currency: &str, fund: Fund) -> i64 {
        let of_currency = self.funds.get(currency);
        of_currency.and_then(|funds| funds.get(&fund)).map_or(0, |fund| fund.available)
    }
}
