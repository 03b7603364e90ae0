//! Requests to the webhook, by answer, and how late Stripe's events arrive.

use super::rejection::Rejection;
use super::to_inbox::{Arrival, StoreResult};
use crate::telemetry::metrics::{Counter, Counters, Histogram, Registry, STAGE, seconds};

/// Clones share the counters.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    requests: Counters<1>,
    /// The two usual answers.
    stored: Counter,
    duplicates: Counter,
    arrival_delay: Histogram,
}

impl Default for WebhookMetrics {
    fn default() -> Self {
        let requests = Counters::new(["code"]).with(Rejection::ALL.map(|other| [other.code()]));
        Self {
            stored: requests.counter(["stored"]),
            duplicates: requests.counter(["duplicate"]),
            requests,
            arrival_delay: STAGE.histogram(),
        }
    }
}

impl WebhookMetrics {
    pub(super) fn accepted(&self, arrival: &Arrival, stored: StoreResult) {
        match stored {
            StoreResult::Inserted => {
                self.stored.inc();
                if let Some(created_at) = arrival.created_at {
                    self.arrival_delay.observe(seconds(arrival.received_at - created_at));
                }
            }
            StoreResult::Duplicate => {
                self.duplicates.inc();
            }
        }
    }

    pub(super) fn rejected(&self, rejection: &Rejection) {
        self.requests.increment([rejection.code()]);
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests to the webhook by answer: stored, duplicate, or the error code";
        self.requests.register(registry, "webhook_requests", help);
        let help = "From the creation of an event at Stripe until it was stored";
        registry.register("event_arrival_delay_seconds", help, self.arrival_delay.clone());
    }
}
