//! Financing transactions, balances, reports and payouts.
//!
//! Every payout, payment and reversal is stored once. The view `financing_ledger` decides how each
//! affects the balances, which are compared with Stripe's own summary.
//!
//! ```text
//! capital.financing_transaction.created ─┐
//!                                        ├─▶ transactions ─▶ financing_ledger ─▶ ledger, report
//! backfill: an account's list at Stripe ─┘                            ▲
//!           the accepted terms of a refill ──▶ discounts ────────────┤
//!                                                                     │
//!                       sums: of accounts with very many movements ◀──┘
//!
//! fetched on demand and stored:
//!   summary          Stripe's summary of a financing, compared with the ledger
//!   payouts          the composition of a payout to the merchant's bank
//!   charge_source    the platform's charge behind a charge on the account
//!   account_locale   the time zone in which the account's days end
//! ```
//!
//! Amounts are integers in minor units with a currency; currencies are never added together. The
//! direction of a transaction does not follow from its type alone: a reversal undoes the
//! transaction that it names. Transactions with an unknown effect are counted as unclear.

mod account_locale;
mod backfill;
mod backfill_progress;
mod backfill_requests;
pub mod charge_source;
mod discounts;
pub mod export;
pub mod history;
pub mod ledger;
pub mod payouts;
pub mod report;
pub mod summary;
mod sums;
mod transactions;

use std::time::Duration;

use sqlx::PgConnection;

use crate::clock::Clock;
use crate::database::{Pool, with_timeout};
use crate::offers;
use crate::queue::{Next, Retryable};
use crate::stripe::{self, AccountId, Cache, Client, TransactionId};
use ledger::{Movement, MovementFilter, Totals};

pub use account_locale::AccountLocale;
pub use backfill::BackfillTransactions;
pub use backfill_progress::{UnreadableList, list_unreadable, unreadable};
pub use backfill_requests::BackfillRequests;
pub use sums::Coverage;
pub use transactions::{
    FoundTransaction, ObservedTransaction, Recorded, cancellations, find as find_transaction,
    knows_account, record_all, reversed_payouts,
};

/// Queries about accounts' financings, answered from the database and from Stripe.
#[derive(Clone, Debug)]
pub struct Financings {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Client,
    pub accounts: Cache,
    /// How long a stored summary is current while nothing new is recorded about its account.
    pub summary_for: Duration,
}

impl Financings {
    /// The mode of the API key: true for live data, none if its prefix does not say. All queries
    /// are restricted to it.
    pub fn livemode(&self) -> Option<bool> {
        self.stripe.livemode()
    }

    /// Whether more transactions are expected: an offer is accepted or paid out, the last
    /// comparison with Stripe's summary found a difference, or a balance is open.
    async fn is_under_way(&self, db: &mut PgConnection, account: &AccountId) -> sqlx::Result<bool> {
        let (account, livemode) = (account.as_str(), self.livemode());
        if offers::store::has_running_financing(&mut *db, account, livemode).await?
            || summary::store::differs(&mut *db, account).await?
        {
            return Ok(true);
        }
        let totals = ledger::store::totals(db, account, livemode).await?;
        // `remaining_minor` is zero for a canceled financing, but its reversals are still to come.
        Ok(totals.iter().any(|financing| financing.delta_minor() > 0))
    }

    /// The totals of an account's financings, newest first.
    pub async fn totals(&self, account: &AccountId) -> sqlx::Result<Vec<Totals>> {
        with_timeout(async {
            let mut tx = self.db.begin().await?;
            ledger::store::totals(&mut tx, account.as_str(), self.livemode()).await
        })
        .await
    }

    /// A page of an account's movements, newest first.
    pub async fn movements(
        &self,
        account: &AccountId,
        filter: &MovementFilter,
        limit: i64,
    ) -> sqlx::Result<Vec<Movement>> {
        with_timeout(ledger::store::page(
            &self.db,
            account.as_str(),
            self.livemode(),
            filter,
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

/// A query that could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Stripe did not answer, and no earlier answer is stored.
    #[error(transparent)]
    Stripe(#[from] stripe::Error),
}

impl Retryable for LookupError {
    fn next(&self) -> Next {
        match self {
            Self::Database(error) => error.next(),
            Self::Stripe(error) => error.next(),
        }
    }
}
