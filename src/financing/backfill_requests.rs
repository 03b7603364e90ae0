//! Which accounts' transactions are to be read from Stripe's list: gathered while a transaction goes on, queued at its end.
//!
//! Whoever takes in offers and movements holds their rows. The jobs come after all of these, and in the order of the accounts: two that
//! do this at once, or one and the job itself, then wait for each other in one direction only.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{backfill, store};
use crate::queue::{self, Queued};
use crate::stripe::AccountId;

/// The letters about the offers of a new account are sent first.
const AFTER_FIRST_SIGHT: Duration = Duration::from_mins(5);

/// Accounts whose transactions are to be read.
#[derive(Debug, Default)]
#[must_use = "what is not queued is not read"]
pub struct BackfillRequests(BTreeMap<String, When>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    /// On first sight, and again as long as nobody has come to the list's end.
    Soon { livemode: bool },
    /// Now, whether or not they were read before.
    Now,
}

impl BackfillRequests {
    /// An account was heard of in live mode or in test mode: its transactions are read soon, if they never were.
    pub fn first_seen(account: &AccountId, livemode: bool) -> Self {
        Self::at(account, When::Soon { livemode })
    }

    /// A financing of the account began: they are read at once.
    pub fn now(account: &AccountId) -> Self {
        Self::at(account, When::Now)
    }

    fn at(account: &AccountId, when: When) -> Self {
        Self([(account.as_str().to_owned(), when)].into())
    }

    /// Also those of another one.
    pub fn add(&mut self, other: Self) {
        for (account, when) in other.0 {
            let known = self.0.entry(account).or_insert(when);
            *known = when.max(*known);
        }
    }

    /// Queues the jobs, as the last thing of the transaction that made them necessary.
    pub async fn queue(self, tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        for (account, when) in &self.0 {
            match when {
                When::Soon { livemode } => {
                    read_soon(&mut *tx, account, *livemode, now + AFTER_FIRST_SIGHT).await?;
                }
                When::Now => read_now(&mut *tx, account, now).await?,
            }
        }
        Ok(())
    }
}

/// A job that is over can have found nothing: the account was not there yet, it was asked for in the other mode, or it is dead.
async fn read_soon(
    tx: &mut PgConnection,
    account_id: &str,
    livemode: bool,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    if queue::enqueue(&mut *tx, backfill::JOB, account_id, at).await? == Queued::Duplicate
        && !store::was_read(&mut *tx, account_id, livemode).await?
    {
        queue::requeue(tx, backfill::JOB, account_id, at).await?;
    }
    Ok(())
}

/// Has an account's list read now, in the caller's transaction; back to what was read before.
pub(super) async fn read_now(
    tx: &mut PgConnection,
    account_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if queue::enqueue(&mut *tx, backfill::JOB, account_id, now).await? == Queued::Duplicate {
        queue::reschedule_now(tx, backfill::JOB, account_id, now).await?;
    }
    Ok(())
}
