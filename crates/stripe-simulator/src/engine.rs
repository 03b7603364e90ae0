//! The state, its clock, and the deliveries of the events that it makes. Every change goes through
//! [`Engine::change`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::state::State;
use crate::state::change::Change;
use crate::time::TimeSource;
use crate::webhook::{Sender, WebhookEndpoint};

/// A receiver that answers later than this has not answered. Stripe does not publish its limit.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Engine {
    state: Mutex<State>,
    /// Where the simulator listens, with a slash at the end.
    pub(crate) origin: String,
    pub(crate) time: TimeSource,
    pub(crate) tasks: TaskTracker,
    sender: Sender,
    /// Deliveries that are under way.
    outstanding: watch::Sender<usize>,
}

impl Engine {
    pub(crate) fn new(origin: String, time: TimeSource, livemode: bool) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(WEBHOOK_TIMEOUT)
            .build()?;
        Ok(Self {
            state: Mutex::new(State::new(time.now(), livemode)),
            origin,
            sender: Sender { http, time: time.clone(), livemode },
            time,
            tasks: TaskTracker::new(),
            outstanding: watch::Sender::new(0),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked with the lock held explains the state it left.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a change, and then sends the events that it made.
    pub(crate) fn change<T>(self: &Arc<Self>, apply: impl FnOnce(&mut Change<'_>) -> T) -> T {
        let (outcome, deliveries) = {
            let mut state = self.state();
            let mut change = Change::new(&mut state, self.time.now());
            let outcome = apply(&mut change);
            let events = change.events;
            let receivers =
                |event: &Value| state.receivers(event["type"].as_str().unwrap_or_default());
            let deliveries: Vec<_> =
                events.into_iter().map(|event| (receivers(&event), event)).collect();
            (outcome, deliveries)
        };
        for (receivers, event) in &deliveries {
            for endpoint in receivers {
                self.send(event, endpoint);
            }
        }
        outcome
    }

    /// Sends all events about an offer once more.
    pub(crate) fn resend(self: &Arc<Self>, offer: &str, endpoint: &WebhookEndpoint) {
        let mut events: Vec<Value> =
            self.state().events.all().iter().map(|event| event.body.clone()).collect();
        events.retain(|event| event["data"]["object"]["id"] == offer);
        for event in &events {
            self.send(event, endpoint);
        }
    }

    /// Waits until every delivery succeeded or ran out of attempts.
    pub(crate) async fn deliveries_finished(&self) {
        let mut outstanding = self.outstanding.subscribe();
        // The sending half lives as long as `self`.
        let _ = outstanding.wait_for(|count| *count == 0).await;
    }

    fn send(self: &Arc<Self>, event: &Value, endpoint: &WebhookEndpoint) {
        for _ in 0..endpoint.copies {
            // Counted before the task runs, or a wait in between would end too early.
            self.outstanding.send_modify(|count| *count += 1);
            self.tasks.spawn(Arc::clone(self).deliver(event.clone(), endpoint.clone()));
        }
    }

    async fn deliver(self: Arc<Self>, event: Value, endpoint: WebhookEndpoint) {
        let body = serde_json::to_vec_pretty(&event).unwrap_or_default();
        if self.sender.deliver(&endpoint, &body).await {
            self.state().events.set_delivered(event["id"].as_str().unwrap_or_default());
        }
        self.outstanding.send_modify(|count| *count -= 1);
    }
}
