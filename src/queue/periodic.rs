//! Jobs that repeat: one row of `jobs` for each kind, which no run finishes for good.
//!
//! All replicas share the row, so its lease keeps two runs from overlapping. The lease ends with a
//! holder that hangs; a lock on a connection would not. Each run puts the job off until the next. A
//! job dies only if the process did in each of many runs, and [`Periodic::schedule`] requeues it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Circuit, Claim, Outcome, Queued, Stopped, Work, enqueue, finish, requeue};
use crate::clock::Clock;
use crate::database::Pool;

/// The subject of a periodic job, the only one of its kind.
pub const SUBJECT: &str = "all";

/// Work that is done again and again.
pub trait Periodic: Send + Sync + 'static {
    /// The kind, as in `jobs.kind`.
    const KIND: &'static str;
    /// What a run leaves to be recorded at its end.
    type Report: Send + Sync;

    /// Where the job is.
    fn db(&self) -> &Pool;

    /// Decides when it is due.
    fn clock(&self) -> &Clock;

    /// The longest pause between two runs.
    fn max_pause(&self) -> Duration;

    /// As [`Work::dependencies`].
    fn dependencies(&self) -> &[Circuit] {
        &[]
    }

    /// Makes one run, and says how long to pause after it. Must be safe to run again after a crash
    /// anywhere inside.
    fn run(
        &self,
        claim: &Claim,
    ) -> impl Future<Output = Result<(Duration, Self::Report), Stopped>> + Send;

    /// Records a run in the transaction that ends it; not called where its lease was lost.
    fn record(
        &self,
        _tx: &mut PgConnection,
        _report: &Self::Report,
        _now: DateTime<Utc>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Makes sure that the job exists and is not dead. A new one is due at once.
    fn schedule(&self) -> impl Future<Output = sqlx::Result<()>> + Send {
        async {
            let now = self.clock().now();
            if enqueue(self.db(), Self::KIND, SUBJECT, now).await? == Queued::Duplicate {
                requeue(self.db(), Self::KIND, SUBJECT, now).await?;
            }
            Ok(())
        }
    }
}

impl<P: Periodic> Work for P {
    const KIND: &'static str = P::KIND;

    async fn run(&self, claim: &Claim) -> Result<(), Stopped> {
        let (pause, report) = Periodic::run(self, claim).await?;
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        finish(&mut tx, claim, Outcome::Reschedule { at: now + pause }, now).await?.or_stop()?;
        self.record(&mut tx, &report, now).await?;
        Ok(tx.commit().await?)
    }

    fn max_delay(&self) -> Duration {
        self.max_pause()
    }

    async fn give_up(&self, _: &mut PgConnection, _: &Claim, _: &str) -> sqlx::Result<()> {
        Ok(())
    }

    fn dependencies(&self) -> &[Circuit] {
        Periodic::dependencies(self)
    }
}
