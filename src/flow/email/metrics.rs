//! What became of letters, and how long they waited. Each outcome is counted after its commit.

use chrono::{DateTime, Utc};

use crate::letters::store::{Letter, State};
use crate::telemetry::metrics::{Counters, Histogram, Registry, STAGE, seconds};

/// The letters that this process worked on. Clones share the counters.
#[derive(Clone, Debug)]
pub struct LetterMetrics {
    outcomes: Counters<1>,
    wait: Histogram,
}

/// An earlier attempt ended between the commit of `sending` and that of the relay's reply.
pub(super) const INTERRUPTED: &str = "interrupted";
/// The relay did not confirm the final dot.
pub(super) const UNKNOWN: &str = "unknown";
/// Nothing was handed over, because the outcome of the commit of `sending` was unknown.
pub(super) const NOT_STARTED: &str = "not_started";

const OUTCOMES: [&str; 9] = [
    "sent",
    "retried",
    "held",
    "rejected",
    "withdrawn",
    "suppressed",
    INTERRUPTED,
    UNKNOWN,
    NOT_STARTED,
];

impl Default for LetterMetrics {
    fn default() -> Self {
        Self {
            outcomes: Counters::new(["outcome"]).with(OUTCOMES.map(|outcome| [outcome])),
            wait: STAGE.histogram(),
        }
    }
}

impl LetterMetrics {
    /// The letter is in this state after an attempt.
    pub(super) fn ended(&self, state: State) {
        self.outcomes.increment([match state {
            State::Waiting | State::Sending | State::Uncertain => "retried",
            State::Sent | State::Bounced => "sent",
            State::Held => "held",
            State::Rejected => "rejected",
            State::Withdrawn => "withdrawn",
            State::Suppressed => "suppressed",
        }]);
    }

    /// The relay accepted the letter. Reminders wait for working hours, so they say nothing about
    /// the time that a letter takes.
    pub(super) fn sent(&self, letter: &Letter, now: DateTime<Utc>) {
        self.ended(State::Sent);
        if letter.sequence == 0 {
            self.wait.observe(seconds(now - letter.created_at));
        }
    }

    /// Something that precedes the outcome of the attempt or explains it.
    pub(super) fn doubt(&self, what: &'static str) {
        self.outcomes.increment([what]);
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Letters by the outcome of an attempt, and attempts that were cut off";
        self.outcomes.register(registry, "letters", help);
        let help = "From the reading of an offer's event until the relay accepted its first letter";
        registry.register("letter_wait_seconds", help, self.wait.clone());
    }
}
