//! Connections to the relay and messages handed to it, by outcome.

use std::time::Duration;

use super::SendError;
use crate::telemetry::metrics::{CALL, Counters, Histogram, Registry};

/// The sessions of this process. Clones share the counters.
#[derive(Clone, Debug)]
pub struct RelayMetrics {
    connects: Counters<1>,
    connect_duration: Histogram,
    messages: Counters<1>,
    message_duration: Histogram,
}

const SENT: &str = "sent";

impl Default for RelayMetrics {
    fn default() -> Self {
        let connects = ["ok", "unreachable", "relay_refused", "deferred"];
        let messages = [
            SENT,
            "unreachable",
            "relay_refused",
            "deferred",
            "throttled",
            "address_refused",
            "letter_refused",
            "unknown",
        ];
        Self {
            connects: Counters::new(["outcome"]).with(connects.map(|outcome| [outcome])),
            connect_duration: CALL.histogram(),
            messages: Counters::new(["outcome"]).with(messages.map(|outcome| [outcome])),
            message_duration: CALL.histogram(),
        }
    }
}

impl RelayMetrics {
    pub(super) fn connected(&self, error: Option<&SendError>, took: Duration) {
        self.connects.increment([error.map_or("ok", SendError::label)]);
        self.connect_duration.observe(took.as_secs_f64());
    }

    /// A message whose fate is known, or which may have been accepted: see [`SendError`].
    pub(super) fn message_ended(&self, error: Option<&SendError>, took: Duration) {
        self.messages.increment([error.map_or(SENT, SendError::label)]);
        self.message_duration.observe(took.as_secs_f64());
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Connections opened to the relay, by outcome";
        self.connects.register(registry, "smtp_connects", help);
        let help = "Duration of connecting to the relay, TLS and login included";
        registry.register("smtp_connect_duration_seconds", help, self.connect_duration.clone());
        let help = "Messages by what the relay answered; unknown: it may have accepted the message";
        self.messages.register(registry, "smtp_messages", help);
        let help = "From the start of a message's session to the relay's last reply";
        registry.register("smtp_message_duration_seconds", help, self.message_duration.clone());
    }
}

impl SendError {
    /// The value of the label `outcome`.
    fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::RelayRefused(_) => "relay_refused",
            Self::Deferred(_) => "deferred",
            Self::Throttled(_) => "throttled",
            Self::AddressRefused(_) => "address_refused",
            Self::LetterRefused(_) => "letter_refused",
            Self::Unknown(_) => "unknown",
        }
    }
}
