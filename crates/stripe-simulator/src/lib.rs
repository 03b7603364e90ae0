//! A stand-in for the parts of Stripe that Capital needs, over real HTTP, with a memory.
//!
//! It serves the demo, the tests and the benchmarks, accepts what Stripe accepts and refuses the rest in Stripe's error shape.
//! It builds its JSON itself and shares no type with our client, so that a mistake there is not mirrored here. Where Stripe's
//! documentation is silent, the place says so.
//!
//! | file | owns |
//! |---|---|
//! | `api` | one request: faults, key, Idempotency-Key, route |
//! | `routes` | accounts, offers, events |
//! | `link` | Account Links and the pages that they open |
//! | `list` | pages and filters of Stripe's lists |
//! | `control` | the simulator's own routes, for `curl` |
//! | `answer` | Stripe's answers and errors |
//! | `buttons` | what Stripe's dashboard and the merchant can do to an offer |
//! | `financing` | the money: payouts, sales, paydowns, reversals, balances, and the truth about them |
//! | `life` | a merchant's life from a seed |
//! | `country` | what the country of an account decides |
//! | `page` | the simulated Stripe dashboard, for a browser |
//! | `play` | days, weeks and a whole year of a merchant, while a browser waits |
//! | `dashboard` | a stand-in for the platform's own dashboard |
//! | `events` | events, their signature, and their way to the webhook |
//! | `faults` | what goes wrong on request |
//! | `state` | the memory |

mod answer;
mod api;
mod buttons;
mod control;
mod country;
mod dashboard;
mod events;
mod faults;
mod financing;
mod life;
mod link;
mod list;
mod page;
mod play;
mod routes;
mod state;
#[cfg(test)]
mod tests;
mod time;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

pub use time::TimeSource;

pub use buttons::{Button, Impossible};
pub use dashboard::Dashboard;
pub use events::{EVENT_TYPES, Target, sign};
pub use faults::{Fault, Trouble};
pub use financing::{
    Charge, ChargeKind, Charged, FinancingTruth, PaidFrom, PayoutTruth, Phase, Reversal, Truth,
};
pub use life::Life;
pub use state::{Call, NewAccount, NewOffer};

/// How to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes any.
    pub listen: SocketAddr,
    /// The one key that is accepted.
    pub api_key: String,
    /// The simulator's time.
    pub time: TimeSource,
}

/// A running simulator. Clones are the same.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// What every request and every delivery sees.
struct Shared {
    state: Mutex<state::State>,
    api_key: String,
    /// Where it is reached, with a slash at the end.
    origin: String,
    clock: TimeSource,
    tracker: TaskTracker,
    /// Deliveries that are under way.
    outstanding: watch::Sender<usize>,
    http: reqwest::Client,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, state::State> {
        // What a panicking test left half done is for that test to explain.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn settled(&self) {
        let mut outstanding = self.outstanding.subscribe();
        // The sender lives as long as `self`.
        let _ = outstanding.wait_for(|count| *count == 0).await;
    }
}

impl Simulator {
    /// Starts to listen.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(30))
            .build()
            .map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(state::State::starting_at(options.time.now())),
            api_key: options.api_key,
            origin: format!("http://{address}/"),
            clock: options.time,
            tracker: TaskTracker::new(),
            outstanding: watch::Sender::new(0),
            http,
        });
        let stop = CancellationToken::new();
        shared.tracker.spawn(accept(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self { shared, stop })
    }

    /// For `stripe.api_base`.
    pub fn base_url(&self) -> Url {
        Url::parse(&self.shared.origin).expect("an address and a scheme make a URL")
    }

    /// Where events go from now on. Without a target they are kept for the Events API alone.
    pub fn set_target(&self, target: Target) {
        self.shared.state().target = Some(target);
    }

    /// Signs tokens for the service's Capital section from now on, at `/dashboard/{account}`.
    pub fn set_dashboard(&self, dashboard: Dashboard) {
        self.shared.state().dashboard = Some(dashboard);
    }

    /// Makes a connected account.
    pub fn add_account(&self, account: &NewAccount) -> String {
        let now = self.shared.clock.now();
        self.shared.state().add_account(account, now)
    }

    /// Makes an offer to an account and announces it.
    pub fn create_offer(&self, account: &str, offer: &NewOffer) -> String {
        events::act(&self.shared, |act| {
            let id = act.state.add_offer(account, offer, act.now);
            act.tell_of("capital.financing_offer.created", &id);
            id
        })
    }

    /// Presses a button: changes the offer's status, where its life allows that, and announces it.
    pub fn press(&self, button: Button, offer: &str) -> Result<(), Impossible> {
        buttons::press(&self.shared, button, offer)
    }

    /// Sends an event of any type about an offer, whatever its status.
    pub fn announce(&self, event_type: &str, offer: &str) -> Value {
        events::announce(&self.shared, event_type, offer)
    }

    /// How many events there were.
    pub fn event_count(&self) -> usize {
        self.shared.state().events.len()
    }

    /// All offers, oldest first.
    pub fn offers(&self) -> Vec<Value> {
        self.shared.state().offers.clone()
    }

    /// The address of each account that has one.
    pub fn account_emails(&self) -> std::collections::HashMap<String, String> {
        let state = self.shared.state();
        let email = |account: &Value| account["email"].as_str().map(str::to_owned);
        state
            .accounts
            .iter()
            .filter_map(|(id, account)| Some((id.clone(), email(account)?)))
            .collect()
    }

    /// An offer as the API shows it.
    pub fn offer(&self, id: &str) -> Option<Value> {
        self.shared.state().offer(id).cloned()
    }

    /// Changes an offer behind everybody's back, to make odd shapes.
    pub fn edit_offer(&self, id: &str, edit: impl FnOnce(&mut Value)) {
        if let Some(offer) = self.shared.state().offer_mut(id) {
            edit(offer);
        }
    }

    /// Changes an account likewise.
    pub fn edit_account(&self, id: &str, edit: impl FnOnce(&mut Value)) {
        if let Some(account) = self.shared.state().accounts.get_mut(id) {
            edit(account);
        }
    }

    /// Gives an account a person, as `/persons` shows it.
    pub fn add_person(&self, account: &str, person: Value) {
        self.shared.state().persons.entry(account.to_owned()).or_default().push(person);
    }

    /// A financing transaction of an account, as it is. No event tells of it.
    pub fn add_transaction(&self, account: &str, transaction: Value) {
        self.shared.state().transactions.entry(account.to_owned()).or_default().push(transaction);
    }

    /// All events so far, oldest first.
    pub fn events(&self) -> Vec<Value> {
        self.shared.state().events.iter().map(|event| event.body.clone()).collect()
    }

    /// Forgets all events: as if they had never been made.
    pub fn forget_events(&self) {
        let mut state = self.shared.state();
        state.events.clear();
        state.event_places.clear();
    }

    /// Whether some webhook answered 2xx to the offer's first event.
    pub fn heard(&self, offer: &str) -> bool {
        let state = self.shared.state();
        state
            .events
            .iter()
            .any(|event| event.body["data"]["object"]["id"] == offer && event.delivered)
    }

    /// Sends all events about an offer once more, to this webhook, as Stripe does after a failure.
    pub async fn redeliver(&self, offer: &str, url: &str) {
        let mut target = self.shared.state().target.clone();
        if let (Some(target), Ok(url)) = (&mut target, Url::parse(url)) {
            target.url = url;
            events::send_again(&self.shared, offer, target);
        }
        self.settled().await;
    }

    /// How often `mark_delivered` was carried out for an offer: replays of a stored answer do not count.
    pub fn marked(&self, offer: &str) -> u32 {
        self.shared.state().marked.get(offer).copied().unwrap_or(0)
    }

    /// Lets something go wrong.
    pub fn fail(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Takes back all faults.
    pub fn heal(&self) {
        self.shared.state().faults.clear();
    }

    /// All requests so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// Waits until every event has been delivered or given up.
    pub async fn settled(&self) {
        self.shared.settled().await;
    }

    /// Takes no more requests and gives up what is not delivered.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let (for_requests, stop) = (Arc::clone(&shared), stop.clone());
        shared.tracker.spawn(async move {
            let service =
                service_fn(move |request| api::answer(Arc::clone(&for_requests), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // An error here is a fault that was asked for, or a client that went away.
            tokio::select! {
                _ = connection => {}
                () = stop.cancelled() => {}
            }
        });
    }
}
