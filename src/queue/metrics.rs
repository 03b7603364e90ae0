//! Attempts at jobs, by kind and outcome.

use std::time::Duration;

use super::claim::Outcome;
use crate::telemetry::metrics::{CALL, Counters, Durations, Registry};

/// The attempts of this process. Clones share the counters.
#[derive(Clone, Debug)]
pub struct JobMetrics {
    attempts: Counters<2>,
    durations: Durations<1>,
    taken_over: Counters<1>,
}

/// The lease was lost: another worker continues the job.
pub(super) const LEASE_LOST: &str = "lease_lost";
/// The process stopped before the attempt did anything that cannot be undone.
pub(super) const RELEASED: &str = "released";
/// The database did not take the outcome: the lease expires and the attempt counts.
pub(super) const UNRECORDED: &str = "unrecorded";

impl Outcome<'_> {
    /// The value of the label `outcome`.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry { .. } => "retried",
            Self::Snooze { .. } => "postponed",
            Self::Reschedule { .. } => "rescheduled",
            Self::Discard { .. } => "dead",
        }
    }
}

const OUTCOMES: [&str; 8] =
    ["done", "retried", "postponed", "rescheduled", "dead", LEASE_LOST, RELEASED, UNRECORDED];

impl Default for JobMetrics {
    fn default() -> Self {
        Self {
            attempts: Counters::new(["kind", "outcome"]),
            durations: Durations::new(["kind"], CALL),
            taken_over: Counters::new(["kind"]),
        }
    }
}

impl JobMetrics {
    /// Exports the counters of a kind from the start.
    pub(super) fn expect(self, kind: &'static str) -> Self {
        let attempts = self.attempts.with(OUTCOMES.map(|outcome| [kind, outcome]));
        Self { attempts, taken_over: self.taken_over.with([[kind]]), ..self }
    }

    pub(super) fn attempt_ended(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.attempts.increment([kind, outcome]);
        self.durations.observe([kind], took);
    }

    /// A job was claimed whose last worker let its lease expire: it died or was cut off.
    pub(super) fn taken_over(&self, kind: &'static str) {
        self.taken_over.increment([kind]);
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Attempts at jobs by kind and outcome";
        self.attempts.register(registry, "job_attempts", help);
        let help = "Duration of an attempt at a job";
        self.durations.register(registry, "job_attempt_duration_seconds", help);
        let help = "Jobs claimed after the lease of their last worker had expired";
        self.taken_over.register(registry, "jobs_taken_over", help);
    }
}
