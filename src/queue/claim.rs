//! A worker's hold on a job, how far its attempt is, and how that ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Stopped;

/// A job that this worker holds.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The row.
    pub job_id: i64,
    /// What kind of work.
    pub kind: String,
    /// What the work is about: a letter's id, an offer's id.
    pub subject: String,
    /// Counted from 1.
    pub attempt: i32,
    pub(super) token: Uuid,
    /// Cancelled when the process is to stop.
    pub(super) stop: CancellationToken,
    /// How far the attempt is: see [`Claim::is_handing_over`] and [`Claim::knows_outcome`].
    progress: Arc<AtomicU8>,
}

const HANDING_OVER: u8 = 1;
const OUTCOME_KNOWN: u8 = 2;

impl Claim {
    pub(super) fn new(job_id: i64, kind: &str, subject: String, attempt: i32, token: Uuid) -> Self {
        let (stop, progress) = (CancellationToken::new(), Arc::default());
        Self { job_id, kind: kind.to_owned(), subject, attempt, token, stop, progress }
    }

    /// Whether the process is stopping: then nothing should be begun that cannot be taken back.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// From here on the attempt does what cannot be taken back.
    pub fn hands_over(&self) {
        self.progress.fetch_max(HANDING_OVER, Ordering::SeqCst);
    }

    /// From here on the attempt knows what nobody else can (the relay's answer).
    pub fn outcome_is_known(&self) {
        self.progress.fetch_max(OUTCOME_KNOWN, Ordering::SeqCst);
    }

    pub(super) fn is_handing_over(&self) -> bool {
        self.progress.load(Ordering::SeqCst) >= HANDING_OVER
    }

    pub(super) fn knows_outcome(&self) -> bool {
        self.progress.load(Ordering::SeqCst) >= OUTCOME_KNOWN
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Nothing is left to do.
    Done,
    /// Another attempt at this time.
    Retry {
        /// When.
        at: DateTime<Utc>,
        /// What went wrong.
        error: &'a str,
    },
    /// The same attempt once more at this time: the other side was down or busy.
    Snooze {
        /// When.
        at: DateTime<Utc>,
        /// What went wrong.
        error: &'a str,
    },
    /// Done for now; it is to be done again at this time, as the first attempt.
    Reschedule {
        /// When.
        at: DateTime<Utc>,
    },
    /// No other attempt: a person must look.
    Discard {
        /// What went wrong.
        error: &'a str,
    },
}

/// Whether a worker still held what it wanted to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a worker that lost its lease must roll back"]
pub enum Finished {
    /// It did; the job's row is locked until the transaction ends.
    Yes,
    /// Somebody else has the job, or had it and finished it.
    LeaseLost,
}

impl Finished {
    /// Ends the attempt where the lease is lost: the caller's transaction is dropped, and so rolled back.
    pub fn or_stop(self) -> Result<(), Stopped> {
        match self {
            Self::Yes => Ok(()),
            Self::LeaseLost => Err(Stopped::LeaseLost),
        }
    }
}
