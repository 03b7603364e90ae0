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
//! The table is the truth and is polled; `NOTIFY` and the bell inside the process only shorten the wait.
//! Knows no stage of the flow.

mod backoff;
mod bell;
mod runner;
mod store;

use std::time::Duration;

pub use backoff::delay;
pub use bell::{Bell, Ear, ring_on_notify};
pub use runner::{Runner, Stopped, Work};
pub use store::{Claim, Ending, Finished, Queued, claim, dead_count, enqueue, finish, renew, still_held};

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
    /// Another try would end the same.
    GiveUp,
}

/// An error that knows whether another try can help.
pub trait Retryable: std::error::Error {
    /// What to do next.
    fn next(&self) -> Next;
}

/// When to try again after a failed attempt; none where it was the last or another would end the same. `spread` as for
/// [`delay`].
pub fn next_try(next: Next, attempt: i32, max_attempts: i32, spread: f64) -> Option<Duration> {
    let pause = delay(attempt, spread);
    let pause = match next {
        Next::TryAgain => pause,
        Next::TryAgainIn(least) => pause.max(least),
        Next::GiveUp => return None,
    };
    (attempt < max_attempts).then_some(pause)
}

/// A database that is away comes back. What a job did before it noticed is settled by whoever claims the job next.
impl Retryable for sqlx::Error {
    fn next(&self) -> Next {
        Next::TryAgain
    }
}

/// The message of an error and of everything that caused it, on one line, for `last_error` and the logs.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
