//! Claims jobs of one kind and has them worked on, so many at once.

use std::sync::Arc;

use sqlx::{PgConnection, PgPool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Claim, Ear, Ending, Finished, Retryable, Settings, chain, delay, next_try, store};
use crate::clock::Clock;

/// What a kind of job is to do.
pub trait Work: Send + Sync + 'static {
    /// The kind, as in `jobs.kind`.
    const KIND: &'static str;

    /// Makes one attempt. On success the job is finished by `run` itself, in the transaction that records the outcome; an
    /// error is settled by the runner. Must be safe to run again after a crash anywhere inside.
    fn run(&self, claim: &Claim) -> impl Future<Output = Result<(), Stopped>> + Send;

    /// The job is being given up, in this transaction: hand its subject to a person.
    fn give_up(
        &self,
        tx: &mut PgConnection,
        claim: &Claim,
        error: &str,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// Why an attempt ended without finishing its job.
#[derive(Debug)]
pub enum Stopped {
    /// Somebody else has the job now. Nothing of this attempt was written.
    LeaseLost,
    /// The attempt failed; the error says whether another can help.
    Failed(Box<dyn Retryable + Send + Sync>),
}

impl<E: Retryable + Send + Sync + 'static> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Works on the jobs of one kind. Clones share the limit on concurrency.
pub struct Runner<W> {
    work: Arc<W>,
    db: PgPool,
    clock: Clock,
    settings: Settings,
    slots: Arc<Semaphore>,
}

impl<W> Clone for Runner<W> {
    fn clone(&self) -> Self {
        Self {
            work: Arc::clone(&self.work),
            db: self.db.clone(),
            clock: self.clock.clone(),
            settings: self.settings,
            slots: Arc::clone(&self.slots),
        }
    }
}

impl<W: Work> Runner<W> {
    /// Makes a runner; claims nothing yet.
    pub fn new(work: W, db: PgPool, clock: Clock, settings: Settings) -> Self {
        let slots = Arc::new(Semaphore::new(settings.concurrency));
        Self { work: Arc::new(work), db, clock, settings, slots }
    }

    /// Claims and works until `stop`; jobs in hand go on in `tracker` after that.
    pub async fn run(self, mut ear: Ear, tracker: TaskTracker, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let claimed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                claimed = self.claim_free() => claimed,
            };
            let idle = match claimed {
                Ok(claims) if claims.is_empty() => self.settings.poll_interval,
                Ok(claims) => {
                    failures = 0;
                    for (claim, slot) in claims {
                        let runner = self.clone();
                        tracker.spawn(async move {
                            runner.attempt(claim).await;
                            drop(slot);
                        });
                    }
                    continue;
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(job.kind = W::KIND, error = chain(&error), "cannot claim jobs");
                    delay(failures.min(4), 0.5)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = ear.heard(idle) => {}
            }
        }
    }

    /// Works on all that is due, one after the other, until nothing is. Says how many attempts that took.
    pub async fn run_due(&self) -> sqlx::Result<usize> {
        let mut attempts = 0;
        loop {
            let claims = store::claim(&self.db, W::KIND, 1, self.settings.lease, self.clock.now()).await?;
            let Some(claim) = claims.into_iter().next() else { return Ok(attempts) };
            self.attempt(claim).await;
            attempts += 1;
        }
    }

    /// Waits for a free slot, and claims as many jobs as there are free slots.
    async fn claim_free(&self) -> sqlx::Result<Vec<(Claim, OwnedSemaphorePermit)>> {
        let mut slots = Vec::new();
        // The semaphore is never closed, so the wait for the first slot always ends with one.
        slots.extend(Arc::clone(&self.slots).acquire_owned().await.ok());
        while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            slots.push(slot);
        }
        let claims =
            store::claim(&self.db, W::KIND, slots.len(), self.settings.lease, self.clock.now()).await?;
        Ok(claims.into_iter().zip(slots).collect())
    }

    #[tracing::instrument(name = "job.attempt", skip_all, fields(
        job.kind = W::KIND, job.subject = %claim.subject, job.attempt = claim.attempt,
    ))]
    async fn attempt(&self, claim: Claim) {
        // A job that takes the process down each time never gets to say how it failed.
        if claim.attempt > self.settings.max_attempts {
            self.settle(&claim, Ending::Dead { error: "the process ended in the midst of each attempt" })
                .await;
            return;
        }
        let outcome = tokio::select! {
            outcome = self.work.run(&claim) => outcome,
            () = self.hold(&claim) => Err(Stopped::LeaseLost),
        };
        match outcome {
            Ok(()) => {}
            Err(Stopped::LeaseLost) => tracing::warn!("lost the lease; whoever has it now goes on"),
            Err(Stopped::Failed(error)) => self.settle_failure(&claim, error.as_ref()).await,
        }
    }

    async fn settle_failure(&self, claim: &Claim, error: &(dyn Retryable + Send + Sync)) {
        let text = chain(error);
        let pause = next_try(error.next(), claim.attempt, self.settings.max_attempts, rand::random());
        if let Some(pause) = pause {
            tracing::warn!(error = text, retry.in_seconds = pause.as_secs(), "attempt failed");
            self.settle(claim, Ending::Again { at: self.clock.now() + pause, error: &text }).await;
        } else {
            tracing::error!(error = text, "job is dead: a person must look");
            self.settle(claim, Ending::Dead { error: &text }).await;
        }
    }

    /// Where even this cannot be written, the lease runs out and the job is claimed again.
    async fn settle(&self, claim: &Claim, ending: Ending<'_>) {
        let written = async {
            let mut tx = self.db.begin().await?;
            if store::finish(&mut tx, claim, ending, self.clock.now()).await? == Finished::LeaseLost {
                return Ok(());
            }
            if let Ending::Dead { error } = ending {
                self.work.give_up(&mut tx, claim, error).await?;
            }
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::warn!(
                error = chain(&error),
                "cannot record how the attempt ended; its lease will run out"
            );
        }
    }

    /// Renews the lease for as long as it can; returns when it is lost.
    async fn hold(&self, claim: &Claim) {
        let lease = self.settings.lease;
        let mut until = self.clock.now() + lease;
        loop {
            tokio::time::sleep(lease / 3).await;
            match store::renew(&self.db, claim, lease, self.clock.now()).await {
                Ok(Finished::Yes) => until = self.clock.now() + lease,
                // The database may be back before the lease runs out.
                Err(_) if self.clock.now() + lease / 3 < until => {}
                Ok(Finished::LeaseLost) | Err(_) => return,
            }
        }
    }
}
