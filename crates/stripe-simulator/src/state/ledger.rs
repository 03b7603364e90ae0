//! Financings and the payments to them.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::ActionError;

/// Minimum payments, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    /// The length of an interval.
    pub(crate) days: i64,
    pub(crate) minimum: i64,
    /// No more than this is withheld in an interval.
    pub(crate) maximum: Option<i64>,
}

impl Schedule {
    pub(crate) fn seconds(self) -> i64 {
        self.days * 86_400
    }
}

/// An amount by its two parts, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// `details.reason` of a payment.
pub(crate) type Reason = &'static str;

/// The reasons of payments; a saved state has no others.
const REASONS: [Reason; 4] = ["automatic_withholding", "collection", "refill", "user_initiated"];

/// Reads a reason from a saved state.
pub(crate) fn reason<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Reason, D::Error> {
    let named = String::deserialize(from)?;
    let known = REASONS.into_iter().find(|reason| *reason == named);
    known.ok_or_else(|| serde::de::Error::custom(format!("`{named}` is no reason of a payment")))
}

/// A financing whose advance was paid out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Financing {
    pub(crate) offer: String,
    pub(crate) account: String,
    pub(crate) currency: String,
    pub(crate) terms: AmountParts,
    pub(crate) rate_millionths: i64,
    /// Cash advances have none.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) paid_out_at: DateTime<Utc>,
    /// The transaction that paid it out.
    pub(crate) payout: String,
    /// It settled an earlier financing, or lowered its fee, so it cannot be canceled.
    pub(crate) changed_another: bool,
    pub(crate) repaid: AmountParts,
    pub(crate) discount: Option<Discount>,
    /// By the number of the interval. A reversal counts in the interval of its payment.
    pub(crate) repaid_in_interval: BTreeMap<i64, i64>,
    pub(crate) is_active: bool,
}

/// A part of the fee that need not be paid, because of a refill.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Discount {
    pub(crate) refill: String,
    pub(crate) minor: i64,
}

impl Financing {
    /// The terms, less the discount.
    pub(crate) fn due(&self) -> AmountParts {
        let fee = self.discount.as_ref().map_or(0, |discount| discount.minor);
        self.terms.minus(AmountParts { advance: 0, fee })
    }

    pub(crate) fn remaining(&self) -> AmountParts {
        self.due().minus(self.repaid)
    }

    /// Intervals are counted from the payout.
    pub(crate) fn interval(&self, now: DateTime<Utc>) -> i64 {
        let seconds = (now - self.paid_out_at).num_seconds();
        self.schedule.map_or(0, |schedule| seconds / schedule.seconds())
    }

    pub(crate) fn repaid_in(&self, interval: i64) -> i64 {
        self.repaid_in_interval.get(&interval).copied().unwrap_or_default()
    }

    /// What the minimums of past intervals lack. A payment counts for its own interval first, and
    /// what exceeds that minimum for the past ones. Stripe does not document the order.
    pub(crate) fn overdue(&self, now: DateTime<Utc>) -> i64 {
        let Some(schedule) = self.schedule else { return 0 };
        let interval = self.interval(now);
        let repaid_now = self.repaid_in(interval);
        let before = self.repaid.total() - repaid_now;
        let due_before = (interval * schedule.minimum).min(self.due().total());
        let surplus = (repaid_now - schedule.minimum).max(0);
        (due_before - before - surplus).max(0)
    }

    /// What may still be withheld from sales in this interval.
    pub(crate) fn withholdable(&self, now: DateTime<Utc>) -> i64 {
        let remaining = self.remaining().total();
        let maximum = self.schedule.and_then(|schedule| schedule.maximum);
        maximum.map_or(remaining, |maximum| {
            (maximum - self.repaid_in(self.interval(now))).clamp(0, remaining)
        })
    }
}

/// A payment, as far as its reversal needs it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payment {
    pub(crate) offer: String,
    pub(crate) amount: AmountParts,
    pub(crate) interval: i64,
    #[serde(deserialize_with = "reason")]
    pub(crate) reason: Reason,
    pub(crate) from: PaymentSource,
    pub(crate) is_reversed: bool,
}

/// A financing that is being paid back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveFinancing {
    pub offer: String,
    pub remaining_minor: i64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
            // Most changes are of the newest, and there may be thousands.
            .rev()
            .find(|financing| financing.offer == offer && financing.is_active)
            .ok_or_else(|| ActionError::new("the offer has no active financing"))
    }

    pub(crate) fn is_active(&self, offer: &str) -> bool {
        let mut newest_first = self.financings.iter().rev();
        newest_first.any(|financing| financing.offer == offer && financing.is_active)
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
