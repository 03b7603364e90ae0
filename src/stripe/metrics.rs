//! Calls to Stripe, by endpoint and outcome.

use std::time::Duration;

use super::Error;
use crate::telemetry::metrics::{CALL, Counters, Durations, Registry};

/// The calls of this process. Clones share the counters.
#[derive(Clone, Debug)]
pub struct StripeMetrics {
    /// By the endpoint's short name, as in the log: the path of a call contains ids.
    requests: Counters<2>,
    durations: Durations<1>,
}

impl Default for StripeMetrics {
    fn default() -> Self {
        Self {
            requests: Counters::new(["endpoint", "outcome"]),
            durations: Durations::new(["endpoint"], CALL),
        }
    }
}

impl StripeMetrics {
    /// A call that was sent.
    pub(super) fn answered(&self, endpoint: &'static str, error: Option<&Error>, took: Duration) {
        self.requests.increment([endpoint, outcome(error)]);
        self.durations.observe([endpoint], took);
    }

    /// A call that our own rate limit left no room for.
    pub(super) fn not_sent(&self, endpoint: &'static str) {
        self.requests.increment([endpoint, "not_sent"]);
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Calls to Stripe by endpoint and outcome";
        self.requests.register(registry, "stripe_requests", help);
        let help = "Duration of a call to Stripe, without the wait for our rate limit";
        self.durations.register(registry, "stripe_request_duration_seconds", help);
    }
}

/// The statuses that call for different acts have a value of their own.
fn outcome(error: Option<&Error>) -> &'static str {
    match error {
        None => "ok",
        Some(Error::NotYet(_)) => "not_sent",
        Some(Error::NoAnswer(error)) if error.is_timeout() => "timeout",
        Some(Error::NoAnswer(_)) => "no_answer",
        Some(Error::NotStripe { .. }) => "not_stripe",
        Some(Error::Unreadable { .. }) => "unreadable",
        // A left account has the status of a rejected key.
        Some(error) if error.is_not_connected() => "not_connected",
        Some(Error::Refused { status, .. }) => match status {
            400 => "400",
            401 => "401",
            403 => "403",
            404 => "404",
            409 => "409",
            429 => "429",
            500..=599 => "5xx",
            _ => "4xx",
        },
    }
}
