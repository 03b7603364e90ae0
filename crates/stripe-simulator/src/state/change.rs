//! One atomic change: everything that it alters, and every event that it makes, has one time and
//! happens under one lock.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::State;
use super::event::{API_VERSION, Delivery, Event, LostEvent};
use super::journal::Movement;
use super::offer::INTERVAL_CONFIGURATION;
use crate::feed::{FeedEntry, Tone};

/// What becomes of the events of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emission {
    /// They are made, and sent to a registered endpoint.
    Sent,
    /// They are made, as if no endpoint were registered.
    Unsent,
    /// None is made.
    Nothing,
}

pub(crate) struct Change<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: DateTime<Utc>,
    /// Events that were made, in order. They are sent once the change is over.
    pub(crate) events: Vec<Value>,
    pub(crate) emission: Emission,
    /// For the feed, in order.
    pub(crate) notes: Vec<FeedEntry>,
}

impl<'a> Change<'a> {
    pub(crate) fn new(state: &'a mut State, now: DateTime<Utc>) -> Self {
        Self { state, now, events: Vec::new(), emission: Emission::Sent, notes: Vec::new() }
    }

    /// Makes an event about an object. Null if it is lost.
    pub(crate) fn emit(&mut self, event_type: &str, object: &Value) -> Value {
        if self.emission == Emission::Nothing {
            return Value::Null;
        }
        if self.state.lost.next > 0 {
            self.state.lost.next -= 1;
            let object = object["id"].as_str().unwrap_or_default().to_owned();
            let lost = LostEvent { event_type: event_type.to_owned(), object };
            self.state.lost.unreported.push(lost);
            return Value::Null;
        }
        let is_sent =
            self.emission == Emission::Sent && !self.state.receivers(event_type).is_empty();
        let event = json!({
            "id": self.state.new_id("evt_"), "object": "event", "api_version": API_VERSION,
            "created": self.now.timestamp(), "data": {"object": object},
            "livemode": self.state.livemode, "pending_webhooks": i32::from(is_sent),
            "request": {"id": null, "idempotency_key": null}, "type": event_type,
        });
        let delivery = if is_sent { Delivery::Undelivered } else { Delivery::NotSent };
        self.state.events.push(Event { body: event.clone(), delivery });
        if self.emission == Emission::Sent {
            self.events.push(event.clone());
        }
        event
    }

    /// Reports an event that could not be made. Returns the id of the thin event.
    pub(crate) fn report_lost(&mut self, lost: &LostEvent) -> String {
        let id = self.state.new_id("evt_");
        let (notification, data) = lost.report(&id, self.now, self.state.livemode);
        let mut full = notification.clone();
        full["data"] = data;
        self.state.thin_events.insert(id.clone(), full);
        self.events.push(notification);
        id
    }

    /// Makes an event about an offer as it is now.
    pub(crate) fn emit_for_offer(&mut self, event_type: &str, offer: &str) -> Value {
        let offer = self.state.offers.get(offer).cloned().unwrap_or_default();
        let object = if event_type.starts_with("capital.financing_offer.") {
            offer
        } else {
            self.sample_object(event_type, &offer)
        };
        self.emit(event_type, &object)
    }

    /// An object for an event that no change of an offer makes. A transaction's shape is
    /// documented; nothing is known of the object of a credit line's update.
    fn sample_object(&mut self, event_type: &str, offer: &Value) -> Value {
        if event_type == "capital.financing_transaction.created" {
            json!({
                "id": self.state.new_id("cptxn_"), "object": "capital.financing_transaction",
                "account": offer["account"], "created_at": self.now.timestamp(),
                "financing_offer": offer["id"], "livemode": self.state.livemode,
                "type": "payment", "user_facing_description": "Withheld from a sale",
                "details": {
                    "advance_amount": 900, "fee_amount": 100, "total_amount": 1000,
                    "currency": "usd", "reason": "automatic_withholding",
                },
            })
        } else {
            json!({
                "object": "capital.financing_summary", "account": offer["account"],
                "status": "accepted", "financing_offer": offer["id"], "details": null,
            })
        }
    }

    /// Gives an offer its next status, the time of it, and after an application its terms.
    pub(crate) fn set_offer_status(&mut self, id: &str, status: &str) {
        let (now, has_preview_fields) = (self.now.timestamp(), self.state.sends_preview_fields);
        let Some(offer) = self.state.offers.get_mut(id) else { return };
        offer["status"] = json!(status);
        if let Some(time) = offer["status_transitions"].get_mut(format!("{status}_at")) {
            *time = json!(now);
        }
        if matches!(status, "accepted" | "paid_out") && offer["accepted_terms"].is_null() {
            let offered = &offer["offered_terms"];
            // Stripe says that these may differ from the offered terms. Here they never do.
            offer["accepted_terms"] = json!({
                "advance_amount": offered["advance_amount"], "currency": offered["currency"],
                "fee_amount": offered["fee_amount"],
                "previous_financing_fee_discount_amount": null,
                "withhold_rate": offered["withhold_rate"],
            });
            let interval = offer["offered_terms"][INTERVAL_CONFIGURATION].clone();
            if !interval.is_null() {
                offer["accepted_terms"][INTERVAL_CONFIGURATION] = interval;
            }
            if has_preview_fields {
                let amount = |name: &str| offer["accepted_terms"][name].as_i64();
                let total = amount("advance_amount").unwrap_or_default()
                    + amount("fee_amount").unwrap_or_default();
                offer["accepted_terms"]["total_due_amount"] = json!(total);
            }
        }
    }

    /// Tells the feed.
    pub(crate) fn note(&mut self, account: &str, text: String, tone: Tone) {
        let account = Some(account.to_owned());
        self.notes.push(FeedEntry { at: self.now, account, text, link: None, tone });
    }

    pub(crate) fn record(&mut self, account: &str, movement: Movement) {
        self.state.journal.entry(account.to_owned()).or_default().push(movement);
    }
}
