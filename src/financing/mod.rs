//! What becomes of a financing: every movement of it, as Stripe tells of each, what they add up to, and where it stands.
//!
//! ```text
//! capital.financing_transaction.created ─┐
//!                                        ├─▶ financing_transactions ─▶ financing_ledger ─▶ ledger   totals, movements
//! a list of all of an account's ─────────┘       kept once               what each does    report   per day, week, month
//!
//! asked for when somebody looks, and remembered:   summary   where it stands as Stripe counts, held against the ledger
//!                                                  payouts   what a payout to the bank was made of
//!                                                  origin    the platform's charge behind one on the account
//!                                                  place     whose midnight the account's days end at
//! ```
//!
//! Amounts are whole minor units with their currency, and currencies are never added up together. Which way money went is not taken
//! from a transaction's type alone: a reversal undoes what it names. What cannot be told is counted as unclear, and shown.

mod account_locale;
mod backfill;
mod backfill_requests;
pub mod charge_source;
pub mod ledger;
pub mod payouts;
pub mod report;
mod store;
pub mod summary;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::clock::Clock;
use crate::database::{Pool, with_timeout};
use crate::stripe::{self, AccountId, Cache, Client, FinancingTransaction, TransactionId};
use ledger::{Movement, Totals, Wanted};

pub use account_locale::AccountLocale;
pub use backfill::BackfillTransactions;
pub use backfill_requests::BackfillRequests;
pub use store::{knows_account, unreadable};

/// Answers what somebody asks about an account's financings, and asks Stripe for what only Stripe knows.
#[derive(Clone, Debug)]
pub struct Financings {
    /// Where transactions are kept, and Stripe's answers.
    pub db: Pool,
    /// When something was asked.
    pub clock: Clock,
    /// Whom to ask.
    pub stripe: Client,
    /// Accounts, as Stripe described them a moment ago.
    pub accounts: Cache,
    /// For how long a summary is good, if nothing is heard of the account meanwhile.
    pub summary_for: Duration,
}

impl Financings {
    /// The mode that everything is told of: that of the key. True for live data, none where nobody knows.
    pub fn livemode(&self) -> Option<bool> {
        self.stripe.livemode()
    }

    /// Whether more movements are to be expected: by its offers, by its movements, or because these are others than Stripe says.
    async fn is_under_way(&self, db: &mut PgConnection, account: &AccountId) -> sqlx::Result<bool> {
        let (account, livemode) = (account.as_str(), self.livemode());
        if store::is_to_be_watched(&mut *db, account, livemode).await? {
            return Ok(true);
        }
        let totals = ledger::store::totals(db, account, livemode).await?;
        // Also of one that was canceled: what undoes its payout is still to come.
        Ok(totals.iter().any(|financing| financing.advanced_minor > financing.paid_minor))
    }

    /// What the transactions of an account's financings add up to, the newest first.
    pub async fn totals(&self, account: &AccountId) -> sqlx::Result<Vec<Totals>> {
        with_timeout(ledger::store::totals(&self.db, account.as_str(), self.livemode())).await
    }

    /// Some of an account's movements, the newest first.
    pub async fn movements(
        &self,
        account: &AccountId,
        wanted: &Wanted,
        limit: i64,
    ) -> sqlx::Result<Vec<Movement>> {
        with_timeout(ledger::store::page(
            &self.db,
            account.as_str(),
            self.livemode(),
            wanted,
            limit,
        ))
        .await
    }

    /// One of an account's movements.
    pub async fn movement(
        &self,
        account: &AccountId,
        id: &TransactionId,
    ) -> sqlx::Result<Option<Movement>> {
        with_timeout(ledger::store::find(&self.db, account.as_str(), self.livemode(), id.as_str()))
            .await
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The database gave none.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Stripe gave none, and nothing is remembered.
    #[error(transparent)]
    Stripe(#[from] stripe::Error),
}

/// Whether a transaction was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It was.
    Inserted,
    /// It was known; a transaction does not change.
    Duplicate,
}

/// What Stripe tells about a transaction.
#[derive(Debug)]
pub struct Observation<'a> {
    /// As far as we read it.
    pub transaction: FinancingTransaction,
    /// The whole object, as it came.
    pub object: &'a Value,
}

/// Takes in a transaction, in the caller's transaction. Twice is once, by its id. What came before it, [`BackfillTransactions`] finds.
pub async fn take_in(
    tx: &mut PgConnection,
    told: &Observation<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Recorded> {
    let is_new = store::add(tx, told, now).await?;
    Ok(if is_new { Recorded::Inserted } else { Recorded::Duplicate })
}
