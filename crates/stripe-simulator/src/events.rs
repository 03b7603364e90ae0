//! Events, their signature, and their way to the webhook (<https://docs.stripe.com/webhooks>).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use super::Shared;
use super::state::{Event, State};

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

/// Where events go, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// The webhook.
    pub url: Url,
    /// Its signing secrets: two while one is being rolled.
    pub secrets: Vec<String>,
    /// The pause after the first failure; it doubles.
    pub first_pause: Duration,
    /// Tries for each copy.
    pub tries: u32,
    /// How often each event is sent, at once: Stripe promises at least once.
    pub copies: u32,
    /// Each copy sets out up to so much later, so that events overtake each other: Stripe promises no order.
    pub disorder: Duration,
}

/// The header of a body: `t=…,v1=…`, a `v1` for each secret.
pub fn sign(body: &[u8], secrets: &[String], at: DateTime<Utc>) -> String {
    let seconds = at.timestamp();
    let mut header = format!("t={seconds}");
    for secret in secrets {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .expect("HMAC takes keys of any length");
        let mac = mac.chain_update(format!("{seconds}.")).chain_update(body);
        header.extend([",v1=", &hex::encode(mac.finalize().into_bytes())]);
    }
    header
}

/// Something that happens: all that it changes and tells is of one moment and under one lock.
pub(crate) struct Act<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: DateTime<Utc>,
    told: Vec<Value>,
}

impl Act<'_> {
    /// Makes an event about an object and keeps it. It sets out when the act is over.
    pub(crate) fn tell(&mut self, event_type: &str, object: &Value) -> Value {
        let event = json!({
            "id": self.state.new_id("evt_"), "object": "event", "api_version": "2025-09-30.preview",
            "created": self.now.timestamp(), "data": {"object": object}, "livemode": false, "pending_webhooks": 1,
            "request": {"id": null, "idempotency_key": null}, "type": event_type,
        });
        let place = self.state.events.len();
        self.state.event_places.insert(event["id"].as_str().unwrap_or_default().to_owned(), place);
        self.state.events.push(Event { body: event.clone(), delivered: false });
        self.told.push(event.clone());
        event
    }

    /// Makes an event about an offer as it is now.
    pub(crate) fn tell_of(&mut self, event_type: &str, offer: &str) -> Value {
        let offer = self.state.offer(offer).cloned().unwrap_or_default();
        let object = if event_type.starts_with("capital.financing_offer.") {
            offer
        } else {
            other_object(event_type, &offer, &self.state.new_id("cptxn_"), self.now)
        };
        self.tell(event_type, &object)
    }
}

/// Lets something happen, and then sends on their way the events that it made.
pub(crate) fn act<T>(shared: &Arc<Shared>, happen: impl FnOnce(&mut Act<'_>) -> T) -> T {
    let (outcome, told, target) = {
        let mut state = shared.state();
        let mut act = Act { state: &mut state, now: shared.clock.now(), told: Vec::new() };
        let outcome = happen(&mut act);
        let told = act.told;
        (outcome, told, state.target.clone())
    };
    if let Some(target) = target {
        for event in &told {
            send(shared, event, &target);
        }
    }
    outcome
}

/// Makes an event about an offer as it is now, keeps it, and sends it on its way.
pub(crate) fn announce(shared: &Arc<Shared>, event_type: &str, offer_id: &str) -> Value {
    act(shared, |act| act.tell_of(event_type, offer_id))
}

/// Sends what there is about an offer once more.
pub(crate) fn send_again(shared: &Arc<Shared>, offer_id: &str, target: &Target) {
    let events: Vec<Value> = shared.state().events.iter().map(|event| event.body.clone()).collect();
    for event in events.iter().filter(|event| event["data"]["object"]["id"] == offer_id) {
        send(shared, event, target);
    }
}

fn send(shared: &Arc<Shared>, event: &Value, target: &Target) {
    for _ in 0..target.copies {
        shared.outstanding.send_modify(|count| *count += 1);
        shared.tracker.spawn(deliver(Arc::clone(shared), event.clone(), target.clone()));
    }
}

/// Stripe's description of events names no shape for the change of a credit line; the transaction's is documented.
fn other_object(event_type: &str, offer: &Value, id: &str, now: DateTime<Utc>) -> Value {
    if event_type == "capital.financing_transaction.created" {
        json!({
            "id": id, "object": "capital.financing_transaction", "account": offer["account"],
            "created_at": now.timestamp(), "financing_offer": offer["id"], "livemode": false, "type": "payment",
            "user_facing_description": "Withheld from a sale",
            "details": {
                "advance_amount": 900, "fee_amount": 100, "total_amount": 1000, "currency": "usd",
                "reason": "automatic_withholding",
            },
        })
    } else {
        json!({"object": "capital.financing_summary", "account": offer["account"], "status": "accepted",
               "financing_offer": offer["id"], "details": null})
    }
}

async fn deliver(shared: Arc<Shared>, event: Value, target: Target) {
    let body = serde_json::to_vec_pretty(&event).unwrap_or_default();
    if !target.disorder.is_zero() {
        tokio::time::sleep(target.disorder.mul_f64(rand::random())).await;
    }
    let mut pause = target.first_pause;
    for attempt in 1..=target.tries {
        if post(&shared, &target, &body).await {
            let mut state = shared.state();
            let place = state.event_places.get(event["id"].as_str().unwrap_or_default()).copied();
            if let Some(event) = place.and_then(|place| state.events.get_mut(place)) {
                event.delivered = true;
                event.body["pending_webhooks"] = json!(0);
            }
            break;
        }
        if attempt < target.tries {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    shared.outstanding.send_modify(|count| *count -= 1);
}

/// Any 2xx is a success; a redirect is not followed.
async fn post(shared: &Shared, target: &Target, body: &[u8]) -> bool {
    let request = shared
        .http
        .post(target.url.clone())
        .header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Accept", "*/*; q=0.5, application/xml")
        .header("Cache-Control", "no-cache")
        .header("Stripe-Signature", sign(body, &target.secrets, shared.clock.now()))
        .body(body.to_vec());
    request.send().await.is_ok_and(|response| response.status().is_success())
}
