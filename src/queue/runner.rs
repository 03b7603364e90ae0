//! Claims jobs of one kind and has them worked on, so many at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use sqlx::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{
    Admission, Circuit, Claim, ClaimRequest, Finished, Listener, Next, Outcome, Probe,
    RetryDecision, Retryable, Settings, correction, retry_policy, store,
};
use crate::clock::{Agreement, Clock, Throttle};
use crate::database::{DatabaseHealth, Pool, RETRY_INTERVAL, with_timeout};
use crate::telemetry::chain;

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

    /// Whom it talks to. While one of them is down, nothing is begun but probes.
    fn dependencies(&self) -> &[Circuit];

    /// Whether [`Work::room`] has to be asked before a job is claimed.
    fn is_limited(&self) -> bool {
        false
    }

    /// The longest time from now for which one of its jobs is ever put off.
    fn max_delay(&self) -> Duration {
        MAX_DELAY
    }

    /// How many jobs, of so many that are wanted, may be begun now. Asked in the transaction that claims them, which is rolled back
    /// where none is due: a turn that nobody takes is not used up. Jobs that were begun already have their place.
    fn capacity(
        &self,
        _tx: &mut PgConnection,
        wanted: usize,
    ) -> impl Future<Output = sqlx::Result<Capacity>> + Send {
        std::future::ready(Ok(Capacity::Of(wanted)))
    }
}

/// A reminder waits for working hours, at most for a long weekend.
const MAX_DELAY: Duration = Duration::from_hours(8 * 24);
/// A clock that was wrong is rare, and what it wrote is not urgent.
const BETWEEN_CORRECTIONS: Duration = Duration::from_mins(1);
/// While the clock cannot tell whether a lease has run out.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 100);
/// How soon to look whether a clock that is wrong is right again.
const WHILE_CLOCK_IS_WRONG: Duration = Duration::from_secs(1);

/// How many jobs may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// So many.
    Of(usize),
    /// None for so long.
    RetryAfter(Duration),
}

/// Why an attempt ended without finishing its job.
#[derive(Debug)]
pub enum Stopped {
    /// Somebody else has the job now. Nothing of this attempt was written.
    LeaseLost,
    /// The process is stopping, and what would have come next should not be begun. Nothing was done yet.
    Released,
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
    db: Pool,
    clock: Clock,
    database_health: DatabaseHealth,
    settings: Settings,
    slots: Arc<Semaphore>,
    corrections: Arc<Mutex<Throttle>>,
}

impl<W> Clone for Runner<W> {
    fn clone(&self) -> Self {
        Self {
            work: Arc::clone(&self.work),
            db: self.db.clone(),
            clock: self.clock.clone(),
            database_health: self.database_health.clone(),
            settings: self.settings,
            slots: Arc::clone(&self.slots),
            corrections: Arc::clone(&self.corrections),
        }
    }
}

/// What looking for work brought.
enum Found {
    /// Jobs, each with its slot; a single one where it is to probe somebody who is down.
    Jobs(Vec<(Claim, OwnedSemaphorePermit)>, Vec<Probe>),
    /// Nothing is due, or nothing may be begun: look again after this long, or when the bell rings.
    RetryAfter(Duration),
}

impl<W: Work> Runner<W> {
    /// Makes a runner; claims nothing yet.
    pub fn new(
        work: W,
        db: Pool,
        clock: Clock,
        database_health: DatabaseHealth,
        settings: Settings,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(settings.concurrency));
        let (work, corrections) = (Arc::new(work), Arc::default());
        Self { work, db, clock, database_health, settings, slots, corrections }
    }

    /// Claims and works until `stop`; jobs in hand go on in `tracker` after that.
    pub async fn run(self, mut listener: Listener, tracker: TaskTracker, stop: CancellationToken) {
        loop {
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                slot = Arc::clone(&self.slots).acquire_owned() => slot,
            };
            // The semaphore is never closed.
            let Ok(slot) = slot else { return };
            // Not raced against the stop: a claim that Postgres made and nobody heard of would be lost for a whole lease.
            let idle = match self.claim_free(slot).await {
                Ok(Found::Jobs(claims, probes)) => {
                    let mut probes = Some(probes);
                    for (mut claim, slot) in claims {
                        claim.stop = stop.clone();
                        let (runner, probes) = (self.clone(), probes.take());
                        tracker.spawn(async move {
                            runner.attempt(claim).await;
                            drop((slot, probes));
                        });
                    }
                    continue;
                }
                Ok(Found::RetryAfter(idle)) => idle,
                Err(error) => {
                    self.database_health
                        .report(&error, "cannot claim jobs; they stay where they are");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = listener.wait(idle) => {}
            }
        }
    }

    /// Works on all that is due, one after the other, until nothing is or may be begun. Says how many attempts that took.
    pub async fn run_due(&self) -> sqlx::Result<usize> {
        let mut attempts = 0;
        loop {
            let Ok(_probes) = self.admitted() else { return Ok(attempts) };
            let (claims, _) = self.claim(1).await?;
            let Some(claim) = claims.into_iter().next() else { return Ok(attempts) };
            self.attempt(claim).await;
            attempts += 1;
        }
    }

    /// Makes one attempt at one job now, due or not, whoever is down. False where somebody else works on it.
    pub async fn run_now(&self, subject: &str) -> sqlx::Result<bool> {
        let now = self.clock.now();
        let claim = store::claim_now(&self.db, W::KIND, subject, self.settings.lease, now).await?;
        let Some(claim) = claim else { return Ok(false) };
        self.attempt(claim).await;
        Ok(true)
    }

    /// Claims as many jobs as there are free slots, of which one is given, or a single one as a probe.
    async fn claim_free(&self, slot: OwnedSemaphorePermit) -> sqlx::Result<Found> {
        let mut slots = vec![slot];
        let probes = match self.admitted() {
            Ok(probes) => probes,
            Err(pause) => return Ok(Found::RetryAfter(pause.min(self.settings.poll_interval))),
        };
        if probes.is_empty() {
            while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                slots.push(slot);
            }
        }
        let (claims, pause) = with_timeout(self.claim(slots.len())).await?;
        if claims.is_empty() {
            return Ok(Found::RetryAfter(pause));
        }
        Ok(Found::Jobs(claims.into_iter().zip(slots).collect(), probes))
    }

    /// Claims what may be begun, and says after how long to look again where that is nothing.
    async fn claim(&self, limit: usize) -> sqlx::Result<(Vec<Claim>, Duration)> {
        // Leases and due times mean nothing by a clock that is wrong: a claim could take a job from
        // a worker that is sending its letter.
        if self.clock.is_wrong() {
            return Ok((Vec::new(), WHILE_CLOCK_IS_WRONG));
        }
        self.correct_times().await?;
        let (now, poll) = (self.clock.now(), self.settings.poll_interval);
        if !self.work.is_limited() {
            return Ok((store::claim(&self.db, &self.wanted(limit, limit), now).await?, poll));
        }
        let mut tx = self.db.begin().await?;
        let (fresh, pause) = match self.work.capacity(&mut tx, limit).await? {
            Capacity::Of(fresh) => (fresh, poll),
            Capacity::RetryAfter(pause) => (0, pause.min(poll)),
        };
        let claims = store::claim(&mut *tx, &self.wanted(limit, fresh), now).await?;
        if claims.is_empty() {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok((claims, pause))
    }

    /// Makes jobs due that a wrong clock put off for longer than this work ever does, and ends leases
    /// that it made too long.
    async fn correct_times(&self) -> sqlx::Result<()> {
        let is_due = || self.corrections.lock().is_due(BETWEEN_CORRECTIONS, Instant::now());
        if self.clock.agreement() != Agreement::Agrees || !is_due() {
            return Ok(());
        }
        let limits =
            correction::Longest { delay: self.work.max_delay(), lease: self.settings.lease };
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

    /// Leases run out while the database is away, and their holders could not renew them. When it is back they come first: some of
    /// them know an outcome that nobody else does.
    fn wanted(&self, limit: usize, fresh: usize) -> ClaimRequest<'static> {
        let lease = self.settings.lease;
        let grace = if !self.clock.can_judge_leases(lease) {
            FOR_EVER
        } else if self.database_health.was_unhealthy_within(lease) {
            lease
        } else {
            Duration::ZERO
        };
        ClaimRequest { kind: W::KIND, limit, fresh, lease, grace }
    }

    /// What all those whom the work leans on let through: anything, or one attempt that holds these probes; or nothing for so long.
    fn admitted(&self) -> Result<Vec<Probe>, Duration> {
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

    #[tracing::instrument(name = "job.attempt", skip_all, fields(
        job.kind = W::KIND, job.subject = %claim.subject, job.attempt = claim.attempt,
    ))]
    async fn attempt(&self, claim: Claim) {
        // A job that takes the process down each time never gets to say how it failed.
        if claim.attempt > self.settings.max_attempts {
            let error = store::ENDED_THE_PROCESS;
            tracing::error!(error, "job is dead: a person must look");
            self.settle(&claim, Outcome::Discard { error }).await;
            return;
        }
        let outcome = tokio::select! {
            outcome = Box::pin(self.work.run(&claim)) => outcome,
            () = self.hold(&claim) => Err(Stopped::LeaseLost),
        };
        match outcome {
            Ok(()) => {}
            Err(Stopped::LeaseLost) => tracing::warn!("lost the lease; whoever has it now goes on"),
            Err(Stopped::Released) => {
                let at = self.due_from();
                self.settle(&claim, Outcome::Snooze { at, error: "the process was stopping" })
                    .await;
            }
            Err(Stopped::Failed(error)) => self.settle_failure(&claim, error.as_ref()).await,
        }
    }

    async fn settle_failure(&self, claim: &Claim, error: &(dyn Retryable + Send + Sync)) {
        let text = chain(error);
        let is_down = self.work.dependencies().iter().any(Circuit::is_open);
        let now = self.due_from();
        match retry_policy(
            error.next(),
            claim.attempt,
            self.settings.max_attempts,
            is_down,
            rand::random(),
        ) {
            RetryDecision::Retry(pause) => {
                tracing::warn!(error = text, retry.in_seconds = pause.as_secs(), "attempt failed");
                self.settle(claim, Outcome::Retry { at: now + pause, error: &text }).await;
            }
            RetryDecision::Snooze(pause) => {
                tracing::debug!(error = text, retry.in_seconds = pause.as_secs(), "postponed");
                self.settle(claim, Outcome::Snooze { at: now + pause, error: &text }).await;
            }
            RetryDecision::Discard => {
                tracing::error!(error = text, "job is dead: a person must look");
                self.settle(claim, Outcome::Discard { error: &text }).await;
            }
        }
    }

    /// The time from which a pause counts. A wrong clock could put the job off for years, so there it is
    /// in the past: the job is due when jobs are claimed again.
    fn due_from(&self) -> DateTime<Utc> {
        if self.clock.is_wrong() { DateTime::UNIX_EPOCH } else { self.clock.now() }
    }

    /// Tries for as long as the database is away: an attempt that could not be settled would count, and wait for its lease.
    async fn settle(&self, claim: &Claim, ending: Outcome<'_>) {
        let write = || async {
            let mut tx = self.db.begin().await?;
            store::finish(&mut tx, claim, ending, self.clock.now()).await?.or_stop()?;
            if let Outcome::Discard { error } = ending {
                self.work.give_up(&mut tx, claim, error).await?;
            }
            Ok(tx.commit().await?)
        };
        match retry_until_recorded(claim, &self.database_health, write).await {
            Ok(()) => {}
            Err(Stopped::LeaseLost | Stopped::Released) => {
                tracing::debug!("somebody else has the job");
            }
            Err(Stopped::Failed(error)) => {
                self.database_health
                    .report_text(&chain(error.as_ref()), "cannot record how an attempt ended");
            }
        }
    }

    /// Renews the lease for as long as it can; returns when the attempt is to be cut off: when somebody else has the job, or when
    /// nobody can tell. An attempt that is handing something over is not cut off because the database is away, as nobody else can
    /// take the job then either; and one that knows an outcome is not cut off at all: only it can write that down, and it finds
    /// out by itself if it may not.
    async fn hold(&self, claim: &Claim) {
        let lease = self.settings.lease;
        let mut until = self.clock.now() + lease;
        loop {
            tokio::time::sleep(lease / 3).await;
            // Not longer than to the next turn, whatever the database does.
            let renewing = tokio::time::timeout(
                lease / 3,
                store::renew(&self.db, claim, lease, self.clock.now()),
            );
            match renewing.await {
                Ok(Ok(Finished::Yes)) => until = self.clock.now() + lease,
                Ok(Ok(Finished::LeaseLost)) if !claim.knows_outcome() => return,
                Ok(Ok(Finished::LeaseLost)) => {}
                // The database may be back before the lease runs out.
                Ok(Err(_)) | Err(_)
                    if self.clock.now() + lease / 3 < until || claim.is_handing_over() => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

/// Writes down an outcome that only this process knows, such as the relay's 2xx: tries for as long as the database is away,
/// however long that is. Ends early where the lease is lost.
pub async fn retry_until_recorded<F>(
    claim: &Claim,
    database_health: &DatabaseHealth,
    write: impl Fn() -> F,
) -> Result<(), Stopped>
where
    F: Future<Output = Result<(), Stopped>>,
{
    const PAUSE: Duration = Duration::from_millis(250);
    claim.outcome_is_known();
    loop {
        let written = async { Ok(write().await) };
        let error = match with_timeout(written).await {
            Ok(Err(Stopped::Failed(error))) if matches!(error.next(), Next::Postpone(_)) => error,
            Ok(outcome) => return outcome,
            Err(error) => Box::new(error),
        };
        database_health
            .report_text(&chain(error.as_ref()), "cannot record an outcome yet; trying on");
        tokio::time::sleep(PAUSE).await;
    }
}
