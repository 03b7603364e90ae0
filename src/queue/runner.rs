//! Claims jobs of one kind, runs them concurrently and records failed attempts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use sqlx::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::{LEASE_LOST, RELEASED, UNRECORDED};
use super::{
    Admission, Circuit, Claim, ClaimRequest, JobMetrics, Listener, Next, Outcome, Probe,
    RetryDecision, Retryable, Settings, correction, retry_policy, store,
};
use crate::clock::{Agreement, Clock, Throttle};
use crate::database::{Pool, RETRY_INTERVAL, with_timeout};
use crate::telemetry::chain;
use crate::telemetry::traces::{self, Span};

/// The implementation of one kind of job.
pub trait Work: Send + Sync + 'static {
    /// The kind, as in `jobs.kind`.
    const KIND: &'static str;

    /// Makes one attempt. On success `run` itself finishes the job, in the transaction that records
    /// the outcome; on an error the runner does. Must be safe to repeat after a crash at any point.
    fn run(&self, claim: &Claim) -> impl Future<Output = Result<(), AttemptError>> + Send;

    /// Called in the transaction that discards the job: marks its subject as needing attention. By
    /// default the dead job alone does that.
    fn give_up(
        &self,
        _tx: &mut PgConnection,
        _claim: &Claim,
        _error: &str,
    ) -> impl Future<Output = sqlx::Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// The remote systems that the work calls. While one is down, only probes start.
    fn dependencies(&self) -> &[Circuit];

    /// Whether [`Work::capacity`] limits the number of claims.
    fn is_limited(&self) -> bool {
        false
    }

    /// The longest time that a job of this kind is ever delayed. A later due time is corrected.
    fn max_delay(&self) -> Duration {
        MAX_DELAY
    }

    /// Whether an operator paused all jobs of this kind: no queued job starts. Jobs with an expired
    /// lease have started already and do.
    fn is_paused(&self) -> impl Future<Output = sqlx::Result<bool>> + Send {
        std::future::ready(Ok(false))
    }

    /// How many of `wanted` queued jobs may start now. Called in the transaction that claims them,
    /// which is rolled back if none is due, so that unused capacity is not consumed. Jobs with an
    /// expired lease do not count.
    fn capacity(
        &self,
        _tx: &mut PgConnection,
        wanted: usize,
    ) -> impl Future<Output = sqlx::Result<Capacity>> + Send {
        std::future::ready(Ok(Capacity::Of(wanted)))
    }
}

/// A reminder waits for working hours, at most over a long weekend.
const MAX_DELAY: Duration = Duration::from_hours(8 * 24);
/// A wrong clock is rare and its corrections are not urgent.
const BETWEEN_CORRECTIONS: Duration = Duration::from_mins(1);
/// The grace for expired leases while the clock cannot tell whether they have expired.
const UNLIMITED_GRACE: Duration = Duration::from_hours(24 * 365 * 100);
/// The pause between checks whether a wrong clock is correct again.
const WHILE_CLOCK_IS_WRONG: Duration = Duration::from_secs(1);

/// One claim serves this fraction of the slots or more.
const SLOTS_PER_CLAIM: usize = 4;
/// Shorter than the network takes for any job.
const GATHERING: Duration = Duration::from_millis(5);

/// How many jobs may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// At most this many.
    Of(usize),
    /// None before this much time has passed.
    RetryAfter(Duration),
}

/// Why an attempt ended without finishing its job.
#[derive(Debug)]
pub enum AttemptError {
    /// Another worker has claimed the job. The transaction of this attempt was rolled back.
    LeaseLost,
    /// The process is stopping and the attempt had done nothing irreversible.
    Released,
    /// The attempt failed. The error says whether another can help.
    Failed(Box<dyn Retryable + Send + Sync>),
}

impl<E: Retryable + Send + Sync + 'static> From<E> for AttemptError {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Runs the jobs of one kind.
pub struct Runner<W> {
    work: W,
    db: Pool,
    clock: Clock,
    settings: Settings,
    metrics: JobMetrics,
    slots: Arc<Semaphore>,
    corrections: Mutex<Throttle>,
}

/// The result of one attempt to claim jobs.
struct Claimed {
    /// Each with its slot. A single one if there are probes.
    jobs: Vec<(Claim, OwnedSemaphorePermit)>,
    probes: Vec<Probe>,
    /// No other job is due or may start: look again after this much time or at the next
    /// notification. `None` if there may be more.
    idle: Option<Duration>,
}

impl<W: Work> Runner<W> {
    pub fn new(
        work: W,
        db: Pool,
        clock: Clock,
        settings: Settings,
        metrics: JobMetrics,
    ) -> Arc<Self> {
        let metrics = metrics.expect(W::KIND);
        let slots = Arc::new(Semaphore::new(settings.concurrency));
        let corrections = Mutex::default();
        Arc::new(Self { work, db, clock, settings, metrics, slots, corrections })
    }

    /// Claims and runs jobs until `stop`. Running attempts then continue in `tracker`.
    pub async fn run(
        self: Arc<Self>,
        mut listener: Listener,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) {
        loop {
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                slot = Arc::clone(&self.slots).acquire_owned() => slot,
            };
            // The semaphore is never closed.
            let Ok(slot) = slot else { return };
            // Not cancelled by `stop`: a claim that Postgres committed and no worker received would
            // block its jobs for a whole lease.
            let idle = match self.claim_free(slot).await {
                Ok(Claimed { jobs, probes, idle }) => {
                    let mut probes = Some(probes);
                    for (mut claim, slot) in jobs {
                        claim.stop = stop.clone();
                        let (runner, probes) = (Arc::clone(&self), probes.take());
                        tracker.spawn(async move {
                            runner.work_on(&claim).await;
                            drop((slot, probes));
                        });
                    }
                    idle
                }
                Err(error) => {
                    self.db.health().report(&error, "cannot claim jobs; they stay queued");
                    Some(RETRY_INTERVAL)
                }
            };
            let Some(idle) = idle else { continue };
            tokio::select! {
                () = stop.cancelled() => return,
                () = listener.wait(idle) => {}
            }
        }
    }

    /// Runs due jobs one after the other until none is due or may start. Returns the number of
    /// attempts.
    pub async fn run_due(&self) -> sqlx::Result<usize> {
        let mut attempts = 0;
        loop {
            let Ok(_probes) = self.admit() else { return Ok(attempts) };
            let (claims, _) = self.claim(1).await?;
            let Some(claim) = claims.into_iter().next() else { return Ok(attempts) };
            self.work_on(&claim).await;
            attempts += 1;
        }
    }

    /// Makes one attempt at a job now, whether or not it is due and whatever is down. False if the
    /// job is claimed, done or dead.
    pub async fn run_now(&self, subject: &str) -> sqlx::Result<bool> {
        let now = self.clock.now();
        let claim = store::claim_now(&self.db, W::KIND, subject, self.settings.lease, now).await?;
        let Some(claim) = claim else { return Ok(false) };
        self.work_on(&claim).await;
        Ok(true)
    }

    /// Claims a job for `slot` and for every other free slot, or a single one as a probe.
    async fn claim_free(&self, slot: OwnedSemaphorePermit) -> sqlx::Result<Claimed> {
        let mut slots = vec![slot];
        let probes = match self.admit() {
            Ok(probes) => probes,
            Err(pause) => {
                let idle = Some(pause.min(self.settings.poll_interval));
                return Ok(Claimed { jobs: Vec::new(), probes: Vec::new(), idle });
            }
        };
        // A probe is one attempt; more would load a system that is just recovering.
        if probes.is_empty() {
            self.gather_slots().await;
            while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                slots.push(slot);
            }
        }
        let (claims, idle) = with_timeout(self.claim(slots.len())).await?;
        Ok(Claimed { jobs: claims.into_iter().zip(slots).collect(), probes, idle })
    }

    /// In a backlog, slots become free one after the other. Waits a moment for a quarter of them, so
    /// that one claim serves several jobs. A lone job waits for nothing, because most slots are free.
    async fn gather_slots(&self) {
        let wanted = self.settings.concurrency / SLOTS_PER_CLAIM;
        // The caller holds one.
        let more = u32::try_from(wanted.saturating_sub(1)).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(GATHERING, self.slots.acquire_many(more)).await;
    }

    /// Claims at most `limit` jobs. Also returns the pause before the next attempt; `None` if more
    /// may be due.
    async fn claim(&self, limit: usize) -> sqlx::Result<(Vec<Claim>, Option<Duration>)> {
        // By a wrong clock, leases look expired: a claim could take a job from a worker that is
        // sending its letter.
        if self.clock.is_wrong() {
            return Ok((Vec::new(), Some(WHILE_CLOCK_IS_WRONG)));
        }
        self.correct_times().await?;
        let (now, poll) = (self.clock.now(), self.settings.poll_interval);
        let is_paused = self.work.is_paused().await?;
        // Along indexes: a burst makes the table larger than the planner knows.
        let mut tx = self.db.begin_along_indexes().await?;
        let (fresh, pause) = if is_paused {
            (0, poll)
        } else if self.work.is_limited() {
            match self.work.capacity(&mut tx, limit).await? {
                Capacity::Of(fresh) => (fresh, poll),
                Capacity::RetryAfter(pause) => (0, pause.min(poll)),
            }
        } else {
            (limit, poll)
        };
        let claims = store::claim(&mut *tx, &self.claim_request(limit, fresh), now).await?;
        // The rollback returns the capacity that no job used.
        if claims.is_empty() {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        // Fewer than there was room for: they were all that no other worker has.
        let is_last = claims.is_empty() || claims.len() < fresh.min(limit);
        Ok((claims, is_last.then_some(pause)))
    }

    /// Corrects due times and leases that a wrong clock set too far ahead.
    async fn correct_times(&self) -> sqlx::Result<()> {
        let is_due = || self.corrections.lock().is_due(BETWEEN_CORRECTIONS, Instant::now());
        if self.clock.agreement() != Agreement::Agrees || !is_due() {
            return Ok(());
        }
        let limits =
            correction::Limits { delay: self.work.max_delay(), lease: self.settings.lease };
        let corrected =
            correction::correct_times(&self.db, W::KIND, &limits, self.clock.now()).await?;
        if corrected > 0 {
            tracing::warn!(
                job.kind = W::KIND,
                jobs = corrected,
                "corrected times that a wrong clock wrote"
            );
        }
        Ok(())
    }

    /// Leases expire while the database is unavailable, because their holders cannot renew them.
    /// After it returns, the grace lets the holders renew first: some know an outcome that no other
    /// worker can obtain.
    fn claim_request(&self, limit: usize, fresh: usize) -> ClaimRequest<'static> {
        let lease = self.settings.lease;
        let grace = if !self.clock.can_judge_leases(lease) {
            UNLIMITED_GRACE
        } else if self.db.health().was_unhealthy_within(lease) {
            lease
        } else {
            Duration::ZERO
        };
        ClaimRequest { kind: W::KIND, limit, fresh, lease, grace }
    }

    /// Asks the circuit of each dependency. `Ok` with probes allows one attempt, which holds them;
    /// `Ok` without, any number; `Err` none for this much time.
    fn admit(&self) -> Result<Vec<Probe>, Duration> {
        let mut probes = Vec::new();
        for circuit in self.work.dependencies() {
            match circuit.admission() {
                Admission::All => {}
                Admission::OneProbe(probe) => probes.push(probe),
                Admission::RetryAfter(pause) => return Err(pause),
            }
        }
        Ok(probes)
    }

    /// Makes an attempt and counts its outcome.
    async fn work_on(&self, claim: &Claim) {
        if claim.is_taken_over {
            self.metrics.taken_over(W::KIND);
        }
        let started = Instant::now();
        let outcome = Span::work(W::KIND, claim.traceparent.as_deref())
            .text("job.kind", W::KIND)
            .text("job.subject", &claim.subject)
            .number("job.attempt", claim.attempt)
            .run(self.attempt(claim))
            .await;
        self.metrics.attempt_ended(W::KIND, outcome, started.elapsed());
    }

    /// Returns the value of the label `outcome`.
    #[tracing::instrument(name = "job.attempt", skip_all, fields(
        job.kind = W::KIND, job.subject = %claim.subject, job.attempt = claim.attempt,
        trace_id = traces::trace_id(),
    ))]
    async fn attempt(&self, claim: &Claim) -> &'static str {
        // Only a job whose attempts killed the process, so that none was recorded, gets here.
        if claim.attempt > self.settings.max_attempts {
            let error = store::PROCESS_DIED;
            tracing::error!(error, "job is dead and needs attention");
            return self.record(claim, Outcome::Discard { error }).await;
        }
        let outcome = tokio::select! {
            outcome = Box::pin(self.work.run(claim)) => outcome,
            () = self.renew_lease(claim) => Err(AttemptError::LeaseLost),
        };
        match outcome {
            Ok(()) => claim.outcome(),
            Err(AttemptError::LeaseLost) => {
                traces::fail("lease_lost");
                tracing::warn!("lost the lease: another worker continues the job");
                LEASE_LOST
            }
            Err(AttemptError::Released) => {
                let at = self.due_from();
                let error = "the process was stopping";
                match self.record(claim, Outcome::Snooze { at, error }).await {
                    LEASE_LOST => LEASE_LOST,
                    UNRECORDED => UNRECORDED,
                    _ => RELEASED,
                }
            }
            Err(AttemptError::Failed(error)) => self.record_failure(claim, error.as_ref()).await,
        }
    }

    async fn record_failure(
        &self,
        claim: &Claim,
        error: &(dyn Retryable + Send + Sync + 'static),
    ) -> &'static str {
        let text = chain(error);
        let is_down = self.work.dependencies().iter().any(Circuit::is_open);
        let now = self.due_from();
        let (next, max_attempts) = (error.next(), self.settings.max_attempts);
        let decision = retry_policy(next, claim.attempt, max_attempts, is_down, rand::random());
        match decision {
            RetryDecision::Retry(pause) => tracing::warn!(
                error = text,
                retry.in_seconds = pause.as_secs(),
                "attempt failed; it will be retried"
            ),
            RetryDecision::Snooze(pause) => tracing::debug!(
                error = text,
                retry.in_seconds = pause.as_secs(),
                "attempt postponed: a dependency is down or busy"
            ),
            RetryDecision::Discard => {
                tracing::error!(error = text, "job is dead and needs attention");
            }
        }
        self.record(claim, decision.outcome(now, &text)).await
    }

    /// The time from which a pause counts. A wrong clock could delay the job for years, so while it
    /// is wrong this is in the past: the job is due as soon as jobs are claimed again.
    fn due_from(&self) -> DateTime<Utc> {
        if self.clock.is_wrong() { DateTime::UNIX_EPOCH } else { self.clock.now() }
    }

    /// Records an outcome. Retries while the database is unavailable: an unrecorded outcome would
    /// cost an attempt and block the job until its lease expires. Returns the label of what was
    /// recorded.
    async fn record(&self, claim: &Claim, outcome: Outcome<'_>) -> &'static str {
        let write = || async {
            let mut tx = self.db.begin().await?;
            // The fence comes first: it keeps other workers off the job until the commit.
            store::finish(&mut *tx, claim, outcome, self.clock.now()).await?;
            if let Outcome::Discard { error } = outcome {
                self.work.give_up(&mut tx, claim, error).await?;
            }
            Ok(tx.commit().await?)
        };
        match retry_until_recorded(claim, &self.db, write).await {
            Ok(()) => outcome.label(),
            Err(AttemptError::LeaseLost | AttemptError::Released) => {
                tracing::debug!("recorded no outcome: another worker has the job");
                LEASE_LOST
            }
            Err(AttemptError::Failed(error)) => {
                self.db.health().report_message(
                    &chain(error.as_ref()),
                    "cannot record the outcome of an attempt",
                );
                UNRECORDED
            }
        }
    }

    /// Renews the lease. Returns when the attempt must be aborted: the lease is lost, or the
    /// database is unavailable and the lease may expire. An attempt past the irreversible point
    /// survives an unavailable database, because no other worker can claim the job then either. An
    /// attempt whose outcome is known is never aborted: only it can record the outcome, and the
    /// fence in that transaction stops it if the lease is lost.
    async fn renew_lease(&self, claim: &Claim) {
        let lease = self.settings.lease;
        let mut until = self.clock.now() + lease;
        loop {
            tokio::time::sleep(lease / 3).await;
            // The timeout keeps a slow database from delaying the next renewal.
            let renewing = tokio::time::timeout(
                lease / 3,
                store::renew(&self.db, claim, lease, self.clock.now()),
            );
            match renewing.await {
                Ok(Ok(())) => until = self.clock.now() + lease,
                Ok(Err(AttemptError::LeaseLost)) if !claim.is_outcome_known() => return,
                Ok(Err(AttemptError::LeaseLost)) => {}
                // The database may return before the lease expires.
                Ok(Err(_)) | Err(_)
                    if self.clock.now() + lease / 3 < until || claim.is_irreversible() => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

/// Records an outcome that only this process knows, such as the relay's 2xx. Retries for as long as
/// the database is unavailable. Returns early if the lease is lost.
pub async fn retry_until_recorded<F>(
    claim: &Claim,
    db: &Pool,
    write: impl Fn() -> F,
) -> Result<(), AttemptError>
where
    F: Future<Output = Result<(), AttemptError>>,
{
    const PAUSE: Duration = Duration::from_millis(250);
    claim.set_outcome_known();
    loop {
        // An attempt that hangs counts as unavailable, because a failover drops connections
        // silently.
        let written = async { Ok(write().await) };
        let error = match with_timeout(written).await {
            Ok(Err(AttemptError::Failed(error))) if matches!(error.next(), Next::Postpone(_)) => {
                error
            }
            Ok(outcome) => return outcome,
            Err(error) => Box::new(error),
        };
        db.health()
            .report_message(&chain(error.as_ref()), "cannot record an outcome yet; retrying");
        tokio::time::sleep(PAUSE).await;
    }
}
