//! How long Stripe's acknowledgement of a delivery takes.

use chrono::{DateTime, Utc};

use crate::letters::deliveries::PendingDelivery;
use crate::telemetry::metrics::{Counters, Histogram, Registry, STAGE, seconds};

/// The deliveries that this process reported. Clones share the counters.
#[derive(Clone, Debug)]
pub struct DeliveryMetrics {
    outcomes: Counters<1>,
    wait: Histogram,
}

impl Default for DeliveryMetrics {
    fn default() -> Self {
        let outcomes = Counters::new(["outcome"]).with([["acknowledged"], ["confirmed"]]);
        Self { outcomes, wait: STAGE.histogram() }
    }
}

impl DeliveryMetrics {
    /// `refused`: Stripe refused the call, and shows the offer as delivered all the same.
    pub(super) fn delivered(&self, delivery: &PendingDelivery, refused: bool, now: DateTime<Utc>) {
        self.outcomes.increment([if refused { "confirmed" } else { "acknowledged" }]);
        self.wait.observe(seconds(now - delivery.requested_at));
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Offers that Stripe acknowledged as delivered, or showed as delivered";
        self.outcomes.register(registry, "deliveries", help);
        let help = "From the sending of a letter until Stripe acknowledged the delivery";
        registry.register("delivery_wait_seconds", help, self.wait.clone());
    }
}
