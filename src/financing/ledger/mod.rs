//! What each movement did, and what they add up to.
//!
//! The view `financing_ledger` decides what a movement did; nothing else does. Everything here reads it.

pub mod store;

use chrono::{DateTime, Utc};

use crate::database::Cursor;
use crate::stripe::TransactionId;

/// What the transactions of a financing add up to. Minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// The financing; none for transactions that name none.
    pub offer_id: Option<String>,
    /// Lower-case ISO code.
    pub currency: String,
    /// The advance and the fee that were paid out, less what was taken back.
    pub advanced_minor: i64,
    /// What came back, less what was reversed.
    pub paid_minor: i64,
    /// The part of it that was withheld from sales, likewise.
    pub withheld_minor: i64,
    /// What is still to come: nothing of a financing that was canceled, also before all that it
    /// undid has reached us.
    pub remaining_minor: i64,
    /// Transactions of which nobody can tell what they did: not in any of the sums.
    pub unclear: i64,
    /// Nothing is left of what was paid out, as it was taken back.
    #[serde(skip)]
    pub is_taken_back: bool,
    /// When the first of them happened.
    pub first_at: DateTime<Utc>,
    /// When the last of them happened.
    pub last_at: DateTime<Utc>,
}

/// A movement, for a report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Movement {
    /// `cptxn_…`
    pub transaction_id: String,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// The connected account.
    pub account_id: String,
    /// The financing, where Stripe names it.
    pub offer_id: Option<String>,
    /// Stripe's word.
    pub r#type: String,
    /// Stripe's reason.
    pub reason: Option<String>,
    /// `advanced`, `paid` or `unclear`: which sum it belongs to.
    pub effect: String,
    /// Whether it is a share of sales, or one that was given back.
    pub is_withholding: bool,
    /// Lower-case ISO code.
    pub currency: String,
    /// Minor units, with the sign that it is added with.
    pub total_minor: i64,
    /// The part of the advance, likewise.
    pub advance_minor: Option<i64>,
    /// The part of the fee, likewise.
    pub fee_minor: Option<i64>,
    /// What a reversal undoes.
    pub reversed_transaction_id: Option<String>,
    /// The charge that a share was withheld from.
    pub charge_id: Option<String>,
}

/// Which movements a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Period<'a> {
    /// From this moment on.
    pub from: DateTime<Utc>,
    /// And before this one.
    pub until: DateTime<Utc>,
    /// Of this account alone.
    pub account_id: Option<&'a str>,
}

/// Which of an account's movements a page shows.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this financing alone.
    pub offer_id: Option<String>,
    /// Of this type alone: Stripe's word.
    pub kind: Option<String>,
    /// From this moment on.
    pub from: Option<DateTime<Utc>>,
    /// And before this one.
    pub until: Option<DateTime<Utc>>,
    /// Older than this one, which the page before ended with.
    pub after: Option<Cursor<TransactionId>>,
}

impl Movement {
    /// Where a list goes on after it.
    pub fn cursor(&self) -> Cursor<&str> {
        Cursor { created_at: self.created_at, id: &self.transaction_id }
    }
}
