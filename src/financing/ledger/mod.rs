//! The effect of each transaction, and the totals of a financing.
//!
//! The view `financing_ledger` alone decides the effect of a transaction; this module only reads.

pub mod store;

use chrono::{DateTime, Utc};

use crate::database::Cursor;
use crate::stripe::TransactionId;

/// The totals of a financing in one currency, in minor units.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// None for transactions that name no financing.
    pub offer_id: Option<String>,
    /// ISO 4217 code, lower case.
    pub currency: String,
    /// Advances and fees paid out, less reversals.
    pub advanced_minor: i64,
    /// Payments, less reversals.
    pub paid_minor: i64,
    /// The part of `paid_minor` that was withheld from sales.
    pub withheld_minor: i64,
    /// `advanced - paid`; zero for a canceled financing, even before all reversals have arrived.
    pub remaining_minor: i64,
    /// The number of transactions with an unknown effect; in none of the sums.
    pub unclear: i64,
    /// Everything that was paid out has been reversed.
    #[serde(skip)]
    pub is_taken_back: bool,
    /// The time of the first transaction.
    pub first_at: DateTime<Utc>,
    /// The time of the last transaction.
    pub last_at: DateTime<Utc>,
}

/// A transaction with its effect.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Movement {
    /// `cptxn_…`
    pub transaction_id: String,
    pub created_at: DateTime<Utc>,
    /// `acct_…`
    pub account_id: String,
    /// The financing, if the transaction or the one it reverses names it.
    pub offer_id: Option<String>,
    /// Stripe's `type`.
    pub r#type: String,
    /// Stripe's `details.reason`.
    pub reason: Option<String>,
    /// `advanced`, `paid` or `unclear`: the sum that it belongs to.
    pub effect: String,
    /// A share of sales, or the refund of one.
    pub is_withholding: bool,
    /// ISO 4217 code, lower case.
    pub currency: String,
    /// Minor units, signed as it is added to its sum.
    pub total_minor: i64,
    /// The part of the advance, signed as `total_minor`.
    pub advance_minor: Option<i64>,
    /// The part of the fee, signed as `total_minor`.
    pub fee_minor: Option<i64>,
    /// The transaction that a reversal undoes.
    pub reversed_transaction_id: Option<String>,
    /// The charge from which a share was withheld.
    pub charge_id: Option<String>,
}

/// The movements of a report: half-open, `from <= created_at < until`.
#[derive(Clone, Copy, Debug)]
pub struct MovementRange<'a> {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// None for all accounts.
    pub account_id: Option<&'a str>,
}

/// The movements of a page; none in a field does not restrict.
#[derive(Clone, Debug, Default)]
pub struct MovementFilter {
    pub offer_id: Option<String>,
    /// Stripe's `type`.
    pub kind: Option<String>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub until: Option<DateTime<Utc>>,
    /// The last movement of the previous page.
    pub after: Option<Cursor<TransactionId>>,
}

impl Movement {
    /// The cursor of the page that begins after this movement.
    pub fn cursor(&self) -> Cursor<&str> {
        Cursor { created_at: self.created_at, id: &self.transaction_id }
    }
}
