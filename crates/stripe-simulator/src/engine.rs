//! The state, its clock, and the deliveries of the events that it makes. Every change goes through
//! [`Engine::change`].

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::feed::{Feed, FeedEntry, Tone};
use crate::state::State;
use crate::state::change::Change;
use crate::state::event::Delivery;
use crate::time::TimeSource;
use crate::webhook::{Attempt, Sender, WebhookEndpoint};

/// A receiver that answers later than this has not answered. Stripe does not publish its limit.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Engine {
    state: Mutex<State>,
    /// Counts the changes of the state.
    changes: watch::Sender<u64>,
    /// Held while the state is written to a file.
    writing: Mutex<()>,
    /// Where the simulator listens, with a slash at the end.
    pub(crate) api_origin: Url,
    /// Under which address browsers see the pages.
    page_origin: Mutex<Url>,
    pub(crate) time: TimeSource,
    pub(crate) feed: Feed,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    /// Whether Stripe's API answers 503.
    api_is_down: AtomicBool,
    sender: Sender,
    /// Deliveries that are under way.
    outstanding: watch::Sender<usize>,
}

impl Engine {
    pub(crate) fn new(origin: Url, time: TimeSource, livemode: bool) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(WEBHOOK_TIMEOUT)
            .build()?;
        Ok(Self {
            state: Mutex::new(State::new(time.now(), livemode)),
            changes: watch::Sender::new(0),
            writing: Mutex::default(),
            page_origin: Mutex::new(origin.clone()),
            api_origin: origin,
            sender: Sender { http, time: time.clone(), livemode },
            time,
            feed: Feed::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            api_is_down: AtomicBool::new(false),
            outstanding: watch::Sender::new(0),
        })
    }

    pub(crate) fn state(&self) -> StateGuard<'_> {
        StateGuard {
            // A test that panicked with the lock held explains the state it left.
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner),
            changes: &self.changes,
            is_changed: false,
        }
    }

    /// Reports that the state changed, not how.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn page_origin(&self) -> Url {
        self.page_origin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_page_origin(&self, origin: Url) {
        *self.page_origin.lock().unwrap_or_else(PoisonError::into_inner) = origin;
    }

    pub(crate) fn api_is_down(&self) -> bool {
        self.api_is_down.load(Ordering::SeqCst)
    }

    pub(crate) fn set_api_down(&self, is_down: bool) {
        self.api_is_down.store(is_down, Ordering::SeqCst);
    }

    pub(crate) fn report(&self, account: Option<&str>, text: impl Into<String>, tone: Tone) {
        self.feed.push(self.entry(account, text.into(), tone));
    }

    pub(crate) fn entry(&self, account: Option<&str>, text: String, tone: Tone) -> FeedEntry {
        let account = account.map(str::to_owned);
        FeedEntry { at: self.time.now(), account, text, link: None, tone }
    }

    /// Applies a change, and then sends the events that it made.
    pub(crate) fn change<T>(self: &Arc<Self>, apply: impl FnOnce(&mut Change<'_>) -> T) -> T {
        let (outcome, deliveries) = {
            let mut state = self.state();
            let mut change = Change::new(&mut state, self.time.now());
            let outcome = apply(&mut change);
            let (events, notes) = (change.events, change.notes);
            // Under the lock, so that the feed has the order of the changes, and an endpoint that is
            // registered in between gets none of the events.
            for note in notes {
                self.feed.push(note);
            }
            let to_send = |event: Value| (state.receivers(&kind(&event)), event);
            (outcome, events.into_iter().map(to_send).collect::<Vec<_>>())
        };
        for (receivers, event) in &deliveries {
            if receivers.is_empty() {
                let text = format!("{}: no endpoint is registered for it", kind(event));
                self.feed.push_merged(&text, self.entry(account(event), text.clone(), Tone::Quiet));
            }
            for endpoint in receivers {
                self.send(event, endpoint);
            }
        }
        outcome
    }

    /// Sends an event to the endpoints that get it now. Returns their number.
    pub(crate) fn send_to_receivers(self: &Arc<Self>, event: &Value) -> usize {
        let receivers = self.state().receivers(&kind(event));
        for endpoint in &receivers {
            self.send(event, endpoint);
        }
        receivers.len()
    }

    /// Sends events once more, in this order.
    pub(crate) fn resend(self: &Arc<Self>, events: &[Value], endpoint: &WebhookEndpoint) {
        for event in events {
            self.send(event, endpoint);
        }
    }

    /// The events about an offer, oldest first.
    pub(crate) fn events_of(&self, offer: &str) -> Vec<Value> {
        let state = self.state();
        let is_its = |event: &&Value| event["data"]["object"]["id"] == offer;
        state.events.all().iter().map(|event| &event.body).filter(is_its).cloned().collect()
    }

    /// Sends what is pending or failed once more: deliveries end with the process.
    pub(crate) fn resume_deliveries(self: &Arc<Self>) -> usize {
        let pending: Vec<Value> = {
            let state = self.state();
            let events = state.events.all().iter();
            let pending = events.filter(|event| event.delivery == Delivery::Undelivered);
            pending.map(|event| event.body.clone()).collect()
        };
        pending.iter().filter(|event| self.send_to_receivers(event) > 0).count()
    }

    /// Waits until every delivery succeeded or ran out of attempts.
    pub(crate) async fn deliveries_finished(&self) {
        let mut outstanding = self.outstanding.subscribe();
        // The sending half lives as long as `self`.
        let _ = outstanding.wait_for(|count| *count == 0).await;
    }

    fn send(self: &Arc<Self>, event: &Value, endpoint: &WebhookEndpoint) {
        for copy in 1..=endpoint.copies {
            // Counted before the task runs, or a wait in between would end too early.
            self.outstanding.send_modify(|count| *count += 1);
            self.tasks.spawn(Arc::clone(self).deliver(event.clone(), endpoint.clone(), copy));
        }
    }

    async fn deliver(self: Arc<Self>, event: Value, endpoint: WebhookEndpoint, copy: u32) {
        let body = serde_json::to_vec_pretty(&event).unwrap_or_default();
        let report = |attempt: &Attempt| self.report_attempt(&event, copy, attempt);
        if self.sender.deliver(&endpoint, &body, report).await {
            self.state().events.set_delivered(event["id"].as_str().unwrap_or_default());
        }
        self.outstanding.send_modify(|count| *count -= 1);
    }

    fn report_attempt(&self, event: &Value, copy: u32, attempt: &Attempt) {
        let kind = kind(event);
        let sent_again = if copy > 1 { ", sent again" } else { "" };
        let text = format!("{kind}{sent_again} → {attempt}");
        let tone = match (attempt.is_success(), attempt.number, copy) {
            (true, 1, 1) => Tone::Good,
            (true, 1, _) => Tone::Quiet,
            (true, ..) => Tone::Good,
            (false, ..) => Tone::Bad,
        };
        let entry = self.entry(account(event), text, tone);
        // A month of sales has hundreds of them.
        if attempt.is_success() && attempt.number == 1 && kind.ends_with("transaction.created") {
            self.feed.push_merged(&format!("{kind}{sent_again}"), entry);
        } else {
            self.feed.push(entry);
        }
    }
}

fn kind(event: &Value) -> String {
    event["type"].as_str().unwrap_or_default().to_owned()
}

/// The account that an event is about.
fn account(event: &Value) -> Option<&str> {
    event["data"]["object"]["account"].as_str()
}

/// The locked state. Once it was borrowed for a change, its release reports one.
pub(crate) struct StateGuard<'a> {
    state: MutexGuard<'a, State>,
    changes: &'a watch::Sender<u64>,
    is_changed: bool,
}

impl Deref for StateGuard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for StateGuard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.is_changed = true;
        &mut self.state
    }
}

impl Drop for StateGuard<'_> {
    fn drop(&mut self) {
        if self.is_changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}
