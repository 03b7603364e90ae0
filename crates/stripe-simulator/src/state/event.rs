//! Events (<https://docs.stripe.com/api/events>), and whether a webhook endpoint got them.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Every type of event that Capital has.
pub const EVENT_TYPES: [&str; 11] = [
    "capital.financing_offer.created",
    "capital.financing_offer.accepted",
    "capital.financing_offer.accepted_other_offer",
    "capital.financing_offer.canceled",
    "capital.financing_offer.expired",
    "capital.financing_offer.fully_repaid",
    "capital.financing_offer.paid_out",
    "capital.financing_offer.rejected",
    "capital.financing_offer.replacement_created",
    "capital.financing_summary.line_of_credit_update",
    "capital.financing_transaction.created",
];

/// The version that events are rendered at, and the default of requests.
pub(crate) const API_VERSION: &str = "2025-09-30.preview";

/// How long the API knows an event.
const RETENTION: TimeDelta = TimeDelta::days(30);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) body: Value,
    pub(crate) delivery: Delivery,
}

/// What became of an event at the registered endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    /// No endpoint was registered when the event was made. Nothing is pending, and nothing failed.
    NotSent,
    /// Pending, or every attempt failed.
    Undelivered,
    /// An attempt was answered 2xx.
    Delivered,
}

/// Events that Stripe failed to make
/// (<https://docs.stripe.com/webhooks/handle-irrecoverable-events>). They are in no list.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LostEvents {
    /// So many of the next events will be lost.
    pub(crate) next: u32,
    pub(crate) unreported: Vec<LostEvent>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LostEvent {
    pub(crate) event_type: String,
    /// The id of the object that it would have been about.
    pub(crate) object: String,
}

impl LostEvent {
    /// The parts of the thin event that reports it: what is sent, and `data`, which only a
    /// retrieval shows. The page's example has a URL of the Dashboard, so nothing can be read at
    /// it.
    pub(crate) fn report(&self, id: &str, now: DateTime<Utc>, livemode: bool) -> (Value, Value) {
        let at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        let kind = self.event_type.rsplit_once('.').map_or("", |(object, _)| object);
        let url =
            format!("https://dashboard.stripe.com/{}s/{}", kind.replace('.', "/"), self.object);
        let notification = json!({
            "id": id, "object": "v2.core.event", "context": null, "created": at,
            "livemode": livemode, "reason": null, "related_object": null,
            "type": "v2.core.health.event_generation_failure.resolved",
        });
        let data = json!({
            "alert_id": format!("halert_{id}"), "grouping_key": format!("_grouping_{id}"),
            "impact": {
                "event_type": self.event_type,
                "related_object": {"id": self.object, "type": kind, "url": url},
            },
            "resolved_at": at,
            "summary": "We have failed to create a notification for your Stripe account.",
        });
        (notification, data)
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(from = "SavedEvents")]
pub(crate) struct EventLog {
    /// Oldest first.
    events: Vec<Event>,
    #[serde(skip)]
    positions: HashMap<String, usize>,
}

/// An [`EventLog`] without what is computed from it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedEvents {
    events: Vec<Event>,
}

impl From<SavedEvents> for EventLog {
    fn from(saved: SavedEvents) -> Self {
        let mut log = Self { events: saved.events, positions: HashMap::new() };
        log.index();
        log
    }
}

impl EventLog {
    pub(crate) fn push(&mut self, event: Event) {
        let id = event.body["id"].as_str().unwrap_or_default().to_owned();
        self.positions.insert(id, self.events.len());
        self.events.push(event);
    }

    /// Puts events of the past in their places.
    pub(crate) fn sort(&mut self) {
        self.events.sort_by_key(|event| event.body["created"].as_i64());
        self.index();
    }

    fn index(&mut self) {
        let id = |event: &Event| event.body["id"].as_str().unwrap_or_default().to_owned();
        let ids = self.events.iter().map(id);
        self.positions = ids.enumerate().map(|(position, id)| (id, position)).collect();
    }

    /// Oldest first, those too old for the API included.
    pub(crate) fn all(&self) -> &[Event] {
        &self.events
    }

    /// What the API still knows, newest first.
    pub(crate) fn retained(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Event> {
        self.events.iter().rev().filter(move |event| is_retained(event, now))
    }

    pub(crate) fn get(&self, id: &str, now: DateTime<Utc>) -> Option<&Event> {
        let event = self.events.get(*self.positions.get(id)?)?;
        is_retained(event, now).then_some(event)
    }

    pub(crate) fn set_delivered(&mut self, id: &str) {
        let position = self.positions.get(id).copied();
        if let Some(event) = position.and_then(|position| self.events.get_mut(position)) {
            event.delivery = Delivery::Delivered;
            event.body["pending_webhooks"] = json!(0);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn is_retained(event: &Event, now: DateTime<Utc>) -> bool {
    let created = event.body["created"].as_i64().unwrap_or_default();
    created > (now - RETENTION).timestamp()
}
