//! Durable jobs: every call to SMTP or Stripe that must happen is a row in `jobs`.
//!
//! ```text
//! queued ──claim──▶ claimed ──┬─ Done ───────▶ done
//!    ▲                        ├─ Discard ────▶ dead     until an operator requeues it
//!    │                        ├─ Retry ──────▶ queued   after a backoff; the attempt counts
//!    │                        ├─ Snooze ─────▶ queued   soon; the attempt does not count
//!    │                        └─ Reschedule ─▶ queued   at a set time; attempts start again at 1
//!    └── the lease expired: the next claim is the next attempt
//! ```
//!
//! A job is queued in the transaction that makes it necessary. A worker claims it with a lease and
//! a fencing token, commits, does the work outside of any transaction, and presents the token in
//! the transaction that records the outcome ([`Outcome`]). If the lease was lost, that transaction
//! is rolled back, so a stale worker writes nothing.
//!
//! Due times and leases follow the database's clock ([`crate::clock`]).
//!
//! Workers poll the table. `NOTIFY` and the in-process [`Notifier`] only shorten the wait.
//!
//! A job that is done stays for a week, for operators, and then leaves
//! ([`crate::maintenance::retention`]), except where its key alone keeps the same work from being
//! queued twice. Whoever queues a job again must expect to find none ([`requeue`]).
//!
//! # Leases
//!
//! | rule | where |
//! |---|---|
//! | A claim lasts for `queue.lease` and has a token of its own. | `store::claim` |
//! | It is renewed after each third. Without it the attempt is aborted. | `Runner::renew_lease` |
//! | The fence, first in a transaction: only the holder records. | [`finish`], [`lock_claim`], [`finish_all`] |
//! | What cannot be undone begins with a full lease ahead. | [`renew`], [`renew_all`] |
//! | Recording what only this process knows is retried, never aborted. | [`retry_until_recorded`] |
//! | After a database outage, holders may renew expired leases first. | `Runner::claim_request` |
//! | While the clock differs from Stripe's, nothing is claimed. | `Runner::claim` |
//! | For one lease after it moved, no lease counts as expired. | `Clock::can_judge_leases` |
//! | Times that a wrong clock set too far ahead are corrected. | `correction` |
//! | An attempt whose process died counts; after the last the job is dead. | `Runner::attempt` |

mod backoff;
pub mod browse;
mod circuit;
mod claim;
mod correction;
mod metrics;
mod notify;
mod periodic;
mod runner;
mod sets;
pub mod stats;
mod store;

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::database;

pub use backoff::delay;
pub use circuit::{Admission, Circuit, Probe};
pub use claim::{Claim, Outcome};
pub use correction::WrongClock;
pub use metrics::JobMetrics;
pub use notify::{Listener, Notifier, notify_on_insert};
pub use periodic::{Periodic, SUBJECT};
pub use runner::{AttemptError, Capacity, Runner, Work, retry_until_recorded};
pub use sets::{
    NewJob, cancel_all, enqueue_all, enqueue_all_here, finish_all, held_among, lock_all, renew_all,
    requeue_all, reschedule_all_now,
};
pub use stats::{DeadJob, claimed_count, dead_count, list_dead};
pub use store::{
    ClaimRequest, Queued, claim, claim_now, delete_done, enqueue, enqueue_low_priority, export,
    finish, lock_claim, renew, requeue, requeue_dead, reschedule_put_off,
};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a claim lasts unless renewed. A worker renews it after each third.
    pub lease: Duration,
    /// How long to wait for a notification before polling the table.
    pub poll_interval: Duration,
    /// Jobs of one kind that this process runs at once.
    pub concurrency: usize,
    /// Attempts before a job is dead.
    pub max_attempts: i32,
}

/// Whether and when an error allows another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After the backoff ([`delay`]).
    TryAgain,
    /// After the backoff, but not before this much time: the remote system asked for it.
    TryAgainIn(Duration),
    /// After this much time. The attempt does not count, because the remote system was busy or
    /// unavailable and did nothing.
    Postpone(Duration),
    /// Another attempt would fail in the same way.
    GiveUp,
}

/// An error that says whether another attempt can help.
pub trait Retryable: std::error::Error {
    fn next(&self) -> Next;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// After this pause; the attempt counts.
    Retry(Duration),
    /// After this pause; the attempt does not count.
    Snooze(Duration),
    Discard,
}

impl RetryDecision {
    /// The outcome of an attempt that failed with `error`. Pauses count from `now`.
    pub fn outcome(self, now: DateTime<Utc>, error: &str) -> Outcome<'_> {
        match self {
            Self::Retry(pause) => Outcome::Retry { at: now + pause, error },
            Self::Snooze(pause) => Outcome::Snooze { at: now + pause, error },
            Self::Discard => Outcome::Discard { error },
        }
    }
}

/// While a remote system is down the circuit limits the attempts, so jobs only need to be due by
/// the time it closes.
const WHILE_DOWN: Duration = Duration::from_secs(2);

/// Decides what follows a failed attempt number `attempt` (from 1). `is_down`: a remote system that
/// the work depends on is down. `spread` as for [`delay`].
pub fn retry_policy(
    next: Next,
    attempt: i32,
    max_attempts: i32,
    is_down: bool,
    spread: f64,
) -> RetryDecision {
    // Jobs that were refused together return spread over one second, never earlier than asked.
    let spread_out =
        |pause: Duration| pause + Duration::from_secs(1).mul_f64(spread.clamp(0.0, 1.0));
    let pause = delay(attempt, spread);
    let pause = match next {
        Next::GiveUp => return RetryDecision::Discard,
        Next::Postpone(least) => return RetryDecision::Snooze(spread_out(least)),
        Next::TryAgain | Next::TryAgainIn(_) if is_down => {
            return RetryDecision::Snooze(spread_out(WHILE_DOWN));
        }
        Next::TryAgain => pause,
        Next::TryAgainIn(least) => pause.max(least),
    };
    if attempt < max_attempts { RetryDecision::Retry(pause) } else { RetryDecision::Discard }
}

/// An unavailable database, or one that is read-only after a failover, recovers, so the attempt
/// does not count. A value that it cannot store fails every time.
impl Retryable for sqlx::Error {
    fn next(&self) -> Next {
        if database::is_unavailable(self) {
            Next::Postpone(Duration::from_secs(1))
        } else if database::is_unstorable(self) {
            Next::GiveUp
        } else if let sqlx::Error::ColumnDecode { .. } = self {
            // Written by a newer replica during a rolling update: leave the job to that one.
            Next::Postpone(Duration::from_mins(1))
        } else {
            Next::TryAgain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_retried_snoozed_or_discarded() {
        let seconds = Duration::from_secs;
        for (next, attempt, is_down, decision) in [
            (Next::TryAgain, 1, false, RetryDecision::Retry(seconds(2))),
            (Next::TryAgain, 4, false, RetryDecision::Retry(seconds(16))),
            (Next::TryAgain, 5, false, RetryDecision::Discard),
            (Next::TryAgainIn(seconds(90)), 1, false, RetryDecision::Retry(seconds(90))),
            (Next::TryAgainIn(seconds(1)), 4, false, RetryDecision::Retry(seconds(16))),
            (Next::TryAgainIn(seconds(90)), 5, false, RetryDecision::Discard),
            // An outage costs no attempt.
            (Next::TryAgain, 5, true, RetryDecision::Snooze(WHILE_DOWN)),
            (Next::TryAgainIn(seconds(90)), 9, true, RetryDecision::Snooze(WHILE_DOWN)),
            (Next::Postpone(seconds(90)), 9, false, RetryDecision::Snooze(seconds(90))),
            // An outage does not revive an attempt that cannot succeed.
            (Next::GiveUp, 1, true, RetryDecision::Discard),
        ] {
            assert_eq!(
                retry_policy(next, attempt, 5, is_down, 0.0),
                decision,
                "{next:?}, attempt {attempt}"
            );
        }
        let spread = retry_policy(Next::Postpone(seconds(90)), 1, 5, false, 1.0);
        assert_eq!(spread, RetryDecision::Snooze(seconds(91)), "at most a second later than asked");
    }
}
