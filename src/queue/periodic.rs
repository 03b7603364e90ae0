//! Periodic jobs: one row of `jobs` per kind, which each run reschedules.
//!
//! All replicas share the row, so its lease keeps two runs from overlapping. Unlike a lock on a
//! connection, the lease expires if its holder hangs. The job dies only if the process died during
//! each of many attempts; [`Periodic::schedule`] requeues it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{AttemptError, Circuit, Claim, NewJob, Outcome, Work, finish, requeue};
use crate::clock::Clock;
use crate::database::Pool;

/// The subject of a periodic job, the only one of its kind.
pub const SUBJECT: &str = "all";

pub trait Periodic: Send + Sync + 'static {
    /// The kind, as in `jobs.kind`.
    const KIND: &'static str;
    /// What a run passes to [`Periodic::record`].
    type Report: Send + Sync;

    fn db(&self) -> &Pool;

    fn clock(&self) -> &Clock;

    /// The longest pause between two runs.
    fn max_pause(&self) -> Duration;

    /// As [`Work::dependencies`].
    fn dependencies(&self) -> &[Circuit] {
        &[]
    }

    /// Does the work and returns the pause until the next run. Must be safe to repeat after a crash
    /// at any point.
    fn run(
        &self,
        claim: &Claim,
    ) -> impl Future<Output = Result<(Duration, Self::Report), AttemptError>> + Send;

    /// Records the report in the transaction that ends the run. Not called if the lease was lost.
    fn record(
        &self,
        _tx: &mut PgConnection,
        _report: &Self::Report,
        _now: DateTime<Utc>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Creates the job, due now, or requeues it if it is dead.
    fn schedule(&self) -> impl Future<Output = sqlx::Result<()>> + Send {
        async {
            let job = NewJob::new(Self::KIND, SUBJECT, self.clock().now());
            requeue(self.db(), &job).await.map(drop)
        }
    }
}

impl<P: Periodic> Work for P {
    const KIND: &'static str = P::KIND;

    async fn run(&self, claim: &Claim) -> Result<(), AttemptError> {
        let (pause, report) = Periodic::run(self, claim).await?;
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        // The fence comes first: it locks the job, so the report of a stale run is not recorded.
        finish(&mut *tx, claim, Outcome::Reschedule { at: now + pause }, now).await?;
        self.record(&mut tx, &report, now).await?;
        Ok(tx.commit().await?)
    }

    fn max_delay(&self) -> Duration {
        self.max_pause()
    }

    fn dependencies(&self) -> &[Circuit] {
        Periodic::dependencies(self)
    }
}
