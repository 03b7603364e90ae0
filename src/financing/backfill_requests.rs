//! Collects the accounts whose transactions must be read from Stripe, and queues the jobs last.
//!
//! The caller's transaction locks rows of offers and transactions while it processes a batch. The
//! jobs are queued after that, in the order of the account ids: concurrent batches, and the job
//! itself, then take their locks in one order and cannot deadlock.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::backfill_progress;
use crate::queue::{self, Queued};
use crate::stripe::AccountId;

/// The kind of the backfill jobs; the subject is the account id.
pub(super) const JOB: &str = "backfill_transactions";

/// A new account's letters are sent before its history is read.
const DELAY_AFTER_FIRST_SEEN: Duration = Duration::from_mins(5);

/// Accounts whose transactions must be read.
#[derive(Debug, Default)]
#[must_use = "an account whose job is not queued is not read"]
pub struct BackfillRequests(BTreeMap<String, When>);

/// Ordered by urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    /// Unless the list has been read to its end.
    Soon { livemode: bool },
    /// Whether or not the list has been read before.
    Now,
}

impl BackfillRequests {
    /// The account appeared in an event: its transactions are read soon if they never were.
    pub fn first_seen(account: &AccountId, livemode: bool) -> Self {
        Self::at(account, When::Soon { livemode })
    }

    /// A financing of the account began: its transactions are read at once.
    pub fn now(account: &AccountId) -> Self {
        Self::at(account, When::Now)
    }

    fn at(account: &AccountId, when: When) -> Self {
        Self([(account.as_str().to_owned(), when)].into())
    }

    /// Merges `other` into this; the more urgent request for an account wins.
    pub fn add(&mut self, other: Self) {
        for (account, when) in other.0 {
            let requested = self.0.entry(account).or_insert(when);
            *requested = when.max(*requested);
        }
    }

    /// Queues the jobs. Must be the last statement of the caller's transaction before its commit.
    pub async fn queue(self, tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        for (account, when) in &self.0 {
            match when {
                When::Soon { livemode } => {
                    queue_soon(&mut *tx, account, *livemode, now + DELAY_AFTER_FIRST_SEEN).await?;
                }
                When::Now => queue_now(&mut *tx, account, now).await?,
            }
        }
        Ok(())
    }
}

async fn queue_soon(
    tx: &mut PgConnection,
    account_id: &str,
    livemode: bool,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    // A finished job may have read nothing: the account did not exist yet, the key was of the other
    // mode, or the job is dead.
    if queue::enqueue(&mut *tx, JOB, account_id, at).await? == Queued::Duplicate
        && !backfill_progress::is_complete(&mut *tx, account_id, livemode).await?
    {
        queue::requeue(tx, JOB, account_id, at).await?;
    }
    Ok(())
}

/// Queues a backfill for now, or brings the queued one forward, in the caller's transaction.
pub(super) async fn queue_now(
    tx: &mut PgConnection,
    account_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if queue::enqueue(&mut *tx, JOB, account_id, now).await? == Queued::Duplicate {
        queue::reschedule_now(tx, JOB, account_id, now).await?;
    }
    Ok(())
}
