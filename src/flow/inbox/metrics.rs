//! Batches of events that were read, and how long their events had waited.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::store::ReadOutcome;
use crate::telemetry::metrics::{Counters, Histogram, REQUEST, Registry, STAGE, seconds};

/// Clones share the counters.
#[derive(Clone, Debug)]
pub struct InboxMetrics {
    events: Counters<1>,
    batches: Histogram,
    read_delay: Histogram,
}

/// What a batch contained. It counts once the batch is committed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// State and time of receipt.
    events: Vec<(&'static str, DateTime<Utc>)>,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: &ReadOutcome, received_at: DateTime<Utc>) {
        self.events.push((outcome.state(), received_at));
    }

    /// The number of events that came to a state.
    pub(super) fn count(&self, state: &str) -> usize {
        self.events.iter().filter(|(of, _)| *of == state).count()
    }
}

impl Default for InboxMetrics {
    fn default() -> Self {
        let states = ["read", "ignored", "wrong_mode", "unreadable"];
        Self {
            events: Counters::new(["outcome"]).with(states.map(|state| [state])),
            batches: REQUEST.histogram(),
            read_delay: STAGE.histogram(),
        }
    }
}

impl InboxMetrics {
    pub(super) fn batch_read(&self, tally: &Tally, now: DateTime<Utc>, took: Duration) {
        self.batches.observe(took.as_secs_f64());
        for (state, received_at) in &tally.events {
            self.events.increment([*state]);
            self.read_delay.observe(seconds(now - *received_at));
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        self.events.register(registry, "inbox_events", "Events that were read, by outcome");
        let help = "Duration of a batch of events, up to its commit";
        registry.register("inbox_batch_duration_seconds", help, self.batches.clone());
        let help = "From the storing of an event until it was read";
        registry.register("event_read_delay_seconds", help, self.read_delay.clone());
    }
}
