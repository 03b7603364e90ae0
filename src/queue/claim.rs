//! A worker's claim on a job, the progress of the attempt and its outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::telemetry::traces;

/// A job that this worker has claimed. Clones share the progress of the attempt.
#[derive(Clone, Debug)]
pub struct Claim {
    pub job_id: i64,
    pub kind: String,
    /// The id of the letter or offer that the work is about.
    pub subject: String,
    /// From 1.
    pub attempt: i32,
    /// Of what queued the job.
    pub(super) traceparent: Option<String>,
    /// The lease of an earlier worker had expired.
    pub(super) is_taken_over: bool,
    /// The fencing token: a row with another token has been claimed by another worker.
    pub(super) token: Uuid,
    /// Cancelled when the shutdown begins.
    pub(super) stop: CancellationToken,
    /// 0, [`IRREVERSIBLE`] or [`OUTCOME_KNOWN`]. Only ever increases.
    progress: Arc<AtomicU8>,
    /// The label of the outcome that was written last. It counts only if its transaction commits.
    outcome: Arc<Mutex<Option<&'static str>>>,
}

const IRREVERSIBLE: u8 = 1;
const OUTCOME_KNOWN: u8 = 2;

impl Claim {
    pub(super) fn new(job_id: i64, kind: &str, subject: String, attempt: i32, token: Uuid) -> Self {
        let (stop, progress, outcome) = (CancellationToken::new(), Arc::default(), Arc::default());
        Self {
            job_id,
            kind: kind.to_owned(),
            subject,
            attempt,
            traceparent: None,
            is_taken_over: false,
            token,
            stop,
            progress,
            outcome,
        }
    }

    /// The trace of what queued the job, and whether an earlier worker's lease had expired.
    pub(super) fn of(self, traceparent: Option<String>, is_taken_over: bool) -> Self {
        Self { traceparent, is_taken_over, ..self }
    }

    /// Whether the process is stopping. If so, start nothing that cannot be undone.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Marks the point after which the attempt cannot be undone (the relay may accept the message).
    pub fn begin_irreversible(&self) {
        self.progress.fetch_max(IRREVERSIBLE, Ordering::SeqCst);
    }

    /// Marks that the attempt holds a result that no other worker can obtain (the relay's reply).
    pub fn set_outcome_known(&self) {
        self.progress.fetch_max(OUTCOME_KNOWN, Ordering::SeqCst);
    }

    /// Notes how the attempt ended, for metrics and its trace.
    pub(super) fn set_outcome(&self, outcome: Outcome<'_>) {
        *self.outcome.lock() = Some(outcome.label());
        let name: &'static str = outcome.into();
        // Without the text of the error, which may quote a reply.
        traces::set_text("job.outcome", name);
        match outcome {
            Outcome::Retry { .. } | Outcome::Discard { .. } => traces::fail(name),
            Outcome::Done | Outcome::Snooze { .. } | Outcome::Reschedule { .. } => {}
        }
    }

    /// Notes that the attempt has finished its job ([`super::finish_all`]).
    pub fn set_done(&self) {
        self.set_outcome(Outcome::Done);
    }

    /// For metrics, once the attempt has returned without an error.
    pub(super) fn outcome(&self) -> &'static str {
        self.outcome.lock().unwrap_or("done")
    }

    pub(super) fn is_irreversible(&self) -> bool {
        self.progress.load(Ordering::SeqCst) >= IRREVERSIBLE
    }

    pub(super) fn is_outcome_known(&self) -> bool {
        self.progress.load(Ordering::SeqCst) >= OUTCOME_KNOWN
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome<'a> {
    /// The job is finished.
    Done,
    /// Try again at `at`; the attempt counts.
    Retry { at: DateTime<Utc>, error: &'a str },
    /// Try again at `at`; the attempt does not count, because the remote system was down or busy.
    Snooze { at: DateTime<Utc>, error: &'a str },
    /// Finished for now. Run again at `at`, with the attempts counted from 1.
    Reschedule { at: DateTime<Utc> },
    /// Do not try again. The job is dead until an operator requeues it.
    Discard { error: &'a str },
}
