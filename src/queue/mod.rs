//! Durable jobs: everything that talks to SMTP or to Stripe is a row in `jobs`.
//!
//! ```text
//! queued ──claim──▶ claimed ──finish──▶ done
//!    ▲                 ├── Again ──▶ queued    another try can help: later, by `backoff`
//!    │                 ├── Dead ───▶ dead      a person must look
//!    └─────────────────┴── the lease ran out: whoever comes next claims it, as the next attempt
//! ```
//!
//! A job is queued in the transaction that makes it necessary. A worker claims it by a lease with a token, commits, talks
//! to the world, and finishes it by presenting the token in the transaction that records the outcome. A worker that lost its
//! lease finds that out there and then, and its transaction is rolled back: nothing that it believes is written.
//!
//! Due times and leases are by the database's clock ([`crate::clock`]). While that differs from
//! Stripe's nothing is claimed, and times that it wrote too far ahead are corrected afterwards.
//!
//! The table is the truth and is polled; `NOTIFY` and the bell inside the process only shorten the wait.
//! Knows no stage of the flow.

mod backoff;
mod circuit;
mod claim;
mod correction;
mod notify;
mod periodic;
mod runner;
pub mod stats;
mod store;

use std::time::Duration;

use crate::database;

pub use backoff::delay;
pub use circuit::{Admission, Circuit, Probe};
pub use claim::{Claim, Finished, Outcome};
pub use correction::WrongClock;
pub use notify::{Listener, Notifier, notify_on_insert};
pub use periodic::{Periodic, SUBJECT};
pub use runner::{Capacity, Runner, Stopped, Work, retry_until_recorded};
pub use stats::{claimed_count, dead_count};
pub use store::{
    ClaimRequest, Queued, cancel, claim, claim_now, enqueue, enqueue_low_priority, finish, renew,
    requeue, requeue_dead, reschedule_now, still_held,
};

/// How a worker goes about its jobs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a claim lasts unless it is renewed. A worker renews after each third of it.
    pub lease: Duration,
    /// How long to wait for a hint before looking at the table.
    pub poll_interval: Duration,
    /// Jobs of one kind that this process works on at once.
    pub concurrency: usize,
    /// Tries before a job is dead.
    pub max_attempts: i32,
}

/// What an error says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Later, as [`delay`] says.
    TryAgain,
    /// Not before this much time has passed: the other side said so.
    TryAgainIn(Duration),
    /// The other side is too busy, or away, and did nothing: after this much time, and the attempt does not count.
    Postpone(Duration),
    /// Another try would end the same.
    GiveUp,
}

/// An error that knows whether another try can help.
pub trait Retryable: std::error::Error {
    /// What to do next.
    fn next(&self) -> Next;
}

/// What follows from a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Another attempt after this pause.
    Retry(Duration),
    /// The same attempt once more after this pause.
    Snooze(Duration),
    /// None.
    Discard,
}

/// While the other side is down the circuit decides when something is begun; a job need only be there when it does.
const WHILE_DOWN: Duration = Duration::from_secs(2);

/// Judges a failed attempt: its number, counted from 1, and whether somebody that the work leans on is down. `spread` as for
/// [`delay`].
pub fn retry_policy(
    next: Next,
    attempt: i32,
    max_attempts: i32,
    is_down: bool,
    spread: f64,
) -> RetryDecision {
    // Those that were turned away together do not come back together, and yet hardly later than they were told to.
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

/// A database that is away, or read-only after a failover, comes back, and what it did not take is
/// no fault of the job's. What a job did before it noticed is settled by whoever claims the job
/// next. Values that it refuses, it refuses each time.
impl Retryable for sqlx::Error {
    fn next(&self) -> Next {
        if database::is_unavailable(self) {
            Next::Postpone(Duration::from_secs(1))
        } else if database::is_unstorable(self) {
            Next::GiveUp
        } else if let sqlx::Error::ColumnDecode { .. } = self {
            // Written by a newer replica, in the midst of a rolling update: that one can go on.
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
    fn what_follows_from_a_failure_is_one_pure_function() {
        let seconds = Duration::from_secs;
        for (next, attempt, is_down, verdict) in [
            (Next::TryAgain, 1, false, RetryDecision::Retry(seconds(2))),
            (Next::TryAgain, 4, false, RetryDecision::Retry(seconds(16))),
            (Next::TryAgain, 5, false, RetryDecision::Discard),
            (Next::TryAgainIn(seconds(90)), 1, false, RetryDecision::Retry(seconds(90))),
            (Next::TryAgainIn(seconds(1)), 4, false, RetryDecision::Retry(seconds(16))),
            (Next::TryAgainIn(seconds(90)), 5, false, RetryDecision::Discard),
            // An outage uses up no attempt, however many there were.
            (Next::TryAgain, 5, true, RetryDecision::Snooze(WHILE_DOWN)),
            (Next::TryAgainIn(seconds(90)), 9, true, RetryDecision::Snooze(WHILE_DOWN)),
            (Next::Postpone(seconds(90)), 9, false, RetryDecision::Snooze(seconds(90))),
            // What cannot succeed is not tried again for an outage's sake.
            (Next::GiveUp, 1, true, RetryDecision::Discard),
        ] {
            assert_eq!(
                retry_policy(next, attempt, 5, is_down, 0.0),
                verdict,
                "{next:?}, attempt {attempt}"
            );
        }
        let spread = retry_policy(Next::Postpone(seconds(90)), 1, 5, false, 1.0);
        assert_eq!(
            spread,
            RetryDecision::Snooze(seconds(91)),
            "hardly later than the other side said"
        );
    }
}
