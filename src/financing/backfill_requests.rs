//! Collects the accounts whose transactions must be read from Stripe, and queues the jobs last.
//!
//! The caller's transaction locks rows of offers and transactions while it processes a batch. The
//! jobs are queued after that, in the order of the account ids: concurrent batches, and the job
//! itself, then take their locks in one order and cannot deadlock.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::backfill_progress;
use crate::queue::{self, NewJob};
use crate::stripe::AccountId;
use crate::telemetry::traces;

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

    /// The kind of the jobs; none if there are no jobs that are due now.
    pub fn kind_due_now(&self) -> Option<&'static str> {
        self.0.values().any(|when| *when == When::Now).then_some(JOB)
    }

    /// Queues the jobs. Must be the last statement of the caller's transaction before its commit.
    pub async fn queue(mut self, tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        let complete = self.complete(&mut *tx).await?;
        self.0.retain(|account, when| *when == When::Now || !complete.contains(account));
        let soon = now + DELAY_AFTER_FIRST_SEEN;
        let jobs: Vec<NewJob<'_>> = self
            .0
            .iter()
            .map(|(account, when)| NewJob {
                kind: JOB,
                subject: account,
                low_priority: false,
                due_at: if *when == When::Now { now } else { soon },
                traceparent: traces::traceparent(),
            })
            .collect();
        let added = queue::enqueue_all(&mut *tx, &jobs).await?;
        let known: Vec<&NewJob<'_>> =
            jobs.iter().filter(|job| !added.contains(&job.key())).collect();
        if known.is_empty() {
            return Ok(());
        }
        let keys = |jobs: &[&NewJob<'_>]| jobs.iter().map(|job| job.key()).collect::<Vec<_>>();
        let locked = queue::lock_all(&mut *tx, &keys(&known)).await?;
        let (known, left): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|job| locked.contains(&job.key()));
        let left: Vec<NewJob<'_>> = left.into_iter().cloned().collect();
        queue::enqueue_all(&mut *tx, &left).await?;
        let (urgent, others): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|job| job.due_at == now);
        let trace = traces::traceparent();
        queue::reschedule_all_now(&mut *tx, &keys(&urgent), trace.as_deref(), now).await?;
        // A finished job may have read nothing: the account did not exist yet, the key was of the
        // other mode, or the job is dead.
        queue::requeue_all(tx, &keys(&others), soon).await.map(drop)
    }

    /// The accounts that were only seen and whose list has been read to its end.
    async fn complete(&self, tx: &mut PgConnection) -> sqlx::Result<HashSet<String>> {
        let seen = self.0.iter().filter_map(|(account, when)| match when {
            When::Soon { livemode } => Some((account.clone(), *livemode)),
            When::Now => None,
        });
        let (accounts, modes): (Vec<String>, Vec<bool>) = seen.unzip();
        if accounts.is_empty() {
            return Ok(HashSet::new());
        }
        backfill_progress::complete_among(tx, &accounts, &modes).await
    }
}
