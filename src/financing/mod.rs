//! What becomes of a financing: every movement of it, as Stripe tells of each, and what they add up to.
//!
//! ```text
//! capital.financing_transaction.created ─┐
//!                                        ├─▶ financing_transactions ─▶ financing_ledger ─▶ totals, reports
//! a list of all of an account's ─────────┘       kept once               what each does
//! ```
//!
//! Amounts are whole minor units with their currency, and currencies are never added up together. Which way money went is not taken
//! from a transaction's type alone: a reversal undoes what it names. What cannot be told is counted as unclear, and shown.

mod backfill;
pub mod store;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::stripe::FinancingTransaction;

pub use backfill::{ReadTransactions, watch};

/// Whether a transaction was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenIn {
    /// It was.
    First,
    /// It was known; a transaction does not change.
    Again,
}

/// What Stripe tells about a transaction.
#[derive(Debug)]
pub struct Told<'a> {
    /// As far as we read it.
    pub transaction: FinancingTransaction,
    /// The whole object, as it came.
    pub object: &'a Value,
}

/// Takes in a transaction, in the caller's transaction. Twice is once, by its id. What came before it, [`ReadTransactions`] finds.
pub async fn take_in(tx: &mut PgConnection, told: &Told<'_>, now: DateTime<Utc>) -> sqlx::Result<TakenIn> {
    let is_new = store::add(tx, told, now).await?;
    Ok(if is_new { TakenIn::First } else { TakenIn::Again })
}
