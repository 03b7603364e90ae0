//! Financings and the payments to them.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::error::ActionError;

/// The length of a repayment interval. An assumption: the reachable documentation has no number.
pub(crate) const INTERVAL: TimeDelta = TimeDelta::days(60);

/// An amount by its two parts, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AmountParts {
    pub(crate) advance: i64,
    pub(crate) fee: i64,
}

impl AmountParts {
    pub(crate) fn total(self) -> i64 {
        self.advance + self.fee
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { advance: self.advance + other.advance, fee: self.fee + other.fee }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { advance: self.advance - other.advance, fee: self.fee - other.fee }
    }
}

/// Where a payment's money comes from. Stripe's transaction has no field for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentSource {
    /// The account's balance at Stripe.
    Balance,
    BankAccount,
}

impl FromStr for PaymentSource {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "balance" => Ok(Self::Balance),
            "bank" => Ok(Self::BankAccount),
            _ => Err(()),
        }
    }
}

/// A financing whose advance was paid out.
pub(crate) struct Financing {
    pub(crate) offer: String,
    pub(crate) account: String,
    pub(crate) currency: String,
    pub(crate) terms: AmountParts,
    pub(crate) rate_millionths: i64,
    /// Only loans have a minimum for each repayment interval.
    pub(crate) has_minimum: bool,
    pub(crate) paid_out_at: DateTime<Utc>,
    /// The transaction that paid it out.
    pub(crate) payout: String,
    /// It settled an earlier financing, so it cannot be canceled.
    pub(crate) settled_another: bool,
    pub(crate) repaid: AmountParts,
    /// By the number of the interval. A reversal counts in the interval of its payment.
    pub(crate) repaid_in_interval: BTreeMap<i64, i64>,
    pub(crate) is_active: bool,
}

impl Financing {
    pub(crate) fn remaining(&self) -> AmountParts {
        self.terms.minus(self.repaid)
    }

    /// Intervals are counted from the payout.
    pub(crate) fn interval(&self, now: DateTime<Utc>) -> i64 {
        (now - self.paid_out_at).num_seconds() / INTERVAL.num_seconds()
    }
}

/// A payment, as far as its reversal needs it.
pub(crate) struct Payment {
    pub(crate) offer: String,
    pub(crate) amount: AmountParts,
    pub(crate) interval: i64,
    pub(crate) reason: &'static str,
    pub(crate) from: PaymentSource,
    pub(crate) is_reversed: bool,
}

/// A financing that is being paid back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveFinancing {
    pub offer: String,
    pub remaining_minor: i64,
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// Oldest first.
    pub(crate) financings: Vec<Financing>,
    /// By the id of the transaction.
    pub(crate) payments: HashMap<String, Payment>,
}

impl Ledger {
    pub(crate) fn active_mut(&mut self, offer: &str) -> Result<&mut Financing, ActionError> {
        self.financings
            .iter_mut()
            .find(|financing| financing.offer == offer && financing.is_active)
            .ok_or_else(|| ActionError::new("the offer has no active financing"))
    }

    pub(crate) fn is_active(&self, offer: &str) -> bool {
        self.financings.iter().any(|financing| financing.offer == offer && financing.is_active)
    }

    /// An account's active financings, oldest first.
    pub(crate) fn active<'a>(
        &'a self,
        account: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a Financing> {
        self.financings
            .iter()
            .filter(move |financing| financing.account == account && financing.is_active)
    }

    pub(crate) fn remaining(&self, account: &str) -> Vec<ActiveFinancing> {
        let remaining = |financing: &Financing| ActiveFinancing {
            offer: financing.offer.clone(),
            remaining_minor: financing.remaining().total(),
        };
        self.active(account).map(remaining).collect()
    }
}
