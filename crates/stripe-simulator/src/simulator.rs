//! [`Simulator`]: starts the server, and is the handle by which a test or a demo makes things
//! happen and looks at what did.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

use crate::control::{self, bulk::MadeOffers, bulk::NewOffers};
use crate::engine::Engine;
use crate::error::ActionError;
use crate::feed::Feed;
use crate::financing::charge::{ChargeOutcome, NewCharge};
use crate::financing::reversal::ReversalReason;
use crate::financing::summary::summarize;
use crate::financing::{balance, charge, payment, reversal};
use crate::http::fault::Fault;
use crate::http::request::RecordedRequest;
use crate::lifecycle::next_offer::make_next_offer;
use crate::lifecycle::{self, Action};
use crate::pages::{PlatformDashboard, Trouble};
use crate::server::Server;
use crate::snapshot;
use crate::state::account::NewAccount;
use crate::state::event::{Delivery, LostEvent};
use crate::state::journal::Movement;
use crate::state::ledger::{ActiveFinancing, PaymentSource};
use crate::state::offer::NewOffer;
use crate::state::product::Product;
use crate::time::TimeSource;
use crate::webhook::WebhookEndpoint;

#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 takes any free port.
    pub listen: SocketAddr,
    /// The one key that is accepted. A live key (`sk_live_…`) makes every object one of live mode.
    pub api_key: String,
    pub time: TimeSource,
}

/// A running simulator. Clones are the same one.
#[derive(Clone)]
pub struct Simulator {
    server: Arc<Server>,
}

impl Simulator {
    /// Listens, and serves requests until [`Simulator::stop`].
    pub async fn start(options: Options) -> std::io::Result<Self> {
        // Fails where the program installed a provider already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(options.listen).await?;
        let origin = Url::parse(&format!("http://{}/", listener.local_addr()?))
            .expect("a scheme and an address make a URL");
        let livemode = options.api_key.contains("_live_");
        let engine = Engine::new(origin, options.time, livemode).map_err(std::io::Error::other)?;
        let server = Arc::new(Server::new(engine, options.api_key));
        server.engine.tasks.spawn(accept(listener, Arc::clone(&server)));
        Ok(Self { server })
    }

    /// Takes no more requests.
    pub fn stop(&self) {
        self.engine().stop.cancel();
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.server.engine
    }

    /// What a client uses in place of `https://api.stripe.com`.
    pub fn base_url(&self) -> Url {
        self.engine().api_origin.clone()
    }
}

/// What a host program connects to the pages, and what survives it.
impl Simulator {
    /// The address under which browsers see the pages, such as that of a reverse proxy which keeps
    /// the paths `/_simulator`, `/_connect` and `/dashboard`. Account Links lead there.
    pub fn set_origin(&self, origin: Url) {
        self.engine().set_page_origin(origin);
    }

    /// What happened, for the pages and for the host. The host adds what it does itself.
    pub fn feed(&self) -> Feed {
        self.engine().feed.clone()
    }

    /// The host's switches on the pages, beside the simulator's own.
    pub fn set_troubles(&self, troubles: Vec<Trouble>) {
        self.server.pages.set_troubles(troubles);
    }

    /// Where an account's merchant unsubscribes, by the newest letter that has a link for it.
    pub fn set_unsubscribe_link(
        &self,
        find: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) {
        self.server.pages.set_unsubscribe_link(Arc::new(find));
    }

    /// Awaited, for at most five seconds, before simulated time passes: returns once the platform
    /// has processed the events that it got. Without it, answered deliveries are enough.
    pub fn set_settle<F>(&self, settle: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.server.pages.set_settle(Arc::new(move || Box::pin(settle())));
    }

    /// Writes the whole state to a file, which is replaced at once or not at all.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        snapshot::save(self.engine(), &self.server.idempotency_keys, path)
    }

    /// Replaces the state by a saved one. False if there is no such file; an error, and nothing
    /// changes, if it is of another version. The clock moves forward to the time of the saving.
    pub fn restore(&self, path: &Path) -> std::io::Result<bool> {
        snapshot::restore(self.engine(), &self.server.idempotency_keys, path)
    }

    /// Saves the state from now on, within about a second of each change, and at the stop.
    pub fn autosave(&self, path: PathBuf) {
        snapshot::autosave(self.engine(), Arc::clone(&self.server.idempotency_keys), path);
    }

    /// Sends the events that are pending or failed once more, to the endpoint that is registered
    /// now: the deliveries of a restored state ended with its process. Returns their number.
    pub fn resume_deliveries(&self) -> usize {
        self.engine().resume_deliveries()
    }

    /// Whether Stripe's API answers 503.
    pub fn set_api_down(&self, is_down: bool) {
        self.engine().set_api_down(is_down);
    }
}

/// Webhooks, and the pages.
impl Simulator {
    /// Sends the events of the future to this endpoint. Without one, events are in the Events API
    /// alone, and nothing of them is pending or failed.
    pub fn register_webhook(&self, endpoint: WebhookEndpoint) {
        self.engine().state().endpoint = Some(endpoint);
    }

    /// The endpoints that were registered over HTTP, oldest first, as the API shows them.
    pub fn webhook_endpoints(&self) -> Vec<Value> {
        let state = self.engine().state();
        state.webhook_endpoints.iter().map(|endpoint| endpoint.object.clone()).collect()
    }

    /// Changes such an endpoint, to what no call can make of it.
    pub fn edit_webhook_endpoint(&self, id: &str, edit: impl FnOnce(&mut Value)) {
        let mut state = self.engine().state();
        let mut all = state.webhook_endpoints.iter_mut();
        if let Some(endpoint) = all.find(|endpoint| endpoint.object["id"] == id) {
            edit(&mut endpoint.object);
        }
    }

    /// Signs merchants in to the platform's Capital section, at `/dashboard/{account}`.
    pub fn set_platform_dashboard(&self, dashboard: PlatformDashboard) {
        self.server.pages.set_platform(dashboard);
    }

    /// Sends all events about an offer once more, to this URL, as Stripe's Dashboard can.
    pub async fn resend_events(&self, offer: &str, url: &Url) {
        let endpoint = self.engine().state().endpoint.clone();
        if let Some(endpoint) = endpoint {
            let endpoint = WebhookEndpoint { url: url.clone(), ..endpoint };
            self.engine().resend(&self.engine().events_of(offer), &endpoint);
        }
        self.deliveries_finished().await;
    }

    /// Waits until every delivery succeeded or ran out of attempts.
    pub async fn deliveries_finished(&self) {
        self.engine().deliveries_finished().await;
    }

    /// Whether an endpoint answered 2xx to some event about the offer.
    pub fn is_event_delivered(&self, offer: &str) -> bool {
        self.engine().state().events.all().iter().any(|event| {
            event.body["data"]["object"]["id"] == offer && event.delivery == Delivery::Delivered
        })
    }
}

/// Accounts.
impl Simulator {
    pub fn add_account(&self, account: &NewAccount) -> String {
        self.engine().state().add_account(account, self.engine().time.now())
    }

    /// Names the owner: the account becomes an individual's, as Stripe shows it in `individual`.
    pub fn set_owner(&self, account: &str, first_name: &str, last_name: &str) {
        self.engine().state().accounts.set_owner(account, first_name, last_name);
    }

    /// All accounts, oldest first.
    pub fn accounts(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.engine().state().accounts.objects.keys().cloned().collect();
        // Later ids sort after earlier ones.
        ids.sort_unstable();
        ids
    }

    /// An account as the API shows it.
    pub fn account(&self, id: &str) -> Option<Value> {
        self.engine().state().accounts.get(id).cloned()
    }

    /// Changes an account without an event.
    pub fn edit_account(&self, id: &str, edit: impl FnOnce(&mut Value)) {
        if let Some(account) = self.engine().state().accounts.objects.get_mut(id) {
            edit(account);
        }
    }

    /// The account leaves the platform: reading it is refused from now on. Its offers stay.
    pub fn disconnect_account(&self, id: &str) {
        self.engine().state().accounts.disconnected.insert(id.to_owned());
    }

    /// Adds a person, as `/persons` shows it.
    pub fn add_person(&self, account: &str, person: Value) {
        let mut state = self.engine().state();
        state.accounts.persons.entry(account.to_owned()).or_default().push(person);
    }

    /// The email address of each account that has one.
    pub fn account_emails(&self) -> HashMap<String, String> {
        let email = |account: &Value| account["email"].as_str().map(str::to_owned);
        let state = self.engine().state();
        let accounts = state.accounts.objects.iter();
        accounts.filter_map(|(id, account)| Some((id.clone(), email(account)?))).collect()
    }
}

/// Offers.
impl Simulator {
    /// Makes an offer, and its event.
    pub fn create_offer(&self, account: &str, offer: &NewOffer) -> String {
        self.engine().change(|change| lifecycle::create_offer(change, account, offer))
    }

    /// Makes an account and an offer for each of [`PRODUCTS`](crate::PRODUCTS), and the events.
    /// Returns the ids of the account and the offer.
    pub fn create_offer_of_each_product(&self) -> Vec<(&'static Product, String, String)> {
        control::offers::create_each_product(self.engine())
    }

    /// Makes many offers of the past, without a webhook.
    pub fn create_offers(&self, new: &NewOffers) -> Result<MadeOffers, ActionError> {
        control::bulk::create(self.engine(), new)
    }

    /// Makes the offer that follows from an account's history, and its event: a refill beside an
    /// active financing, a repeat after one, else a new one; with other amounts than before.
    pub fn create_next_offer(&self, account: &str) -> Result<String, ActionError> {
        self.engine().change(|change| make_next_offer(change, account))
    }

    /// Makes a refill, and its event.
    pub fn create_refill(&self, account: &str, offer: &NewOffer) -> String {
        let refill = NewOffer { product_type: "refill".to_owned(), ..offer.clone() };
        self.create_offer(account, &refill)
    }

    /// Does what Stripe or the merchant can do to an offer in its status, and makes the event.
    pub fn perform(&self, action: Action, offer: &str) -> Result<(), ActionError> {
        self.engine().change(|change| lifecycle::perform(change, action, offer))
    }

    /// Stripe itself tells the merchant of an undelivered offer. False in any other status.
    pub fn deliver(&self, offer: &str) -> bool {
        self.engine().change(|change| lifecycle::set_delivered(change, offer))
    }

    /// An offer as the API shows it.
    pub fn offer(&self, id: &str) -> Option<Value> {
        self.engine().state().offers.get(id).cloned()
    }

    /// All offers, oldest first.
    pub fn offers(&self) -> Vec<Value> {
        self.engine().state().offers.all().to_vec()
    }

    /// An account's newest offer.
    pub fn newest_offer(&self, account: &str) -> Option<Value> {
        self.engine().state().offers.of_account(account).next().cloned()
    }

    /// Changes an offer without an event, to make shapes and statuses that its life does not.
    pub fn edit_offer(&self, id: &str, edit: impl FnOnce(&mut Value)) {
        if let Some(offer) = self.engine().state().offers.get_mut(id) {
            edit(offer);
        }
    }

    /// How often `mark_delivered` was carried out for an offer. Replays of a stored response do not
    /// count.
    pub fn delivered_marks(&self, offer: &str) -> u32 {
        self.engine().state().offers.delivered_marks.get(offer).copied().unwrap_or(0)
    }
}

/// Events.
impl Simulator {
    /// Makes an event of any type about an offer as it is now, whatever its status.
    pub fn emit(&self, event_type: &str, offer: &str) -> Value {
        self.engine().change(|change| change.emit_for_offer(event_type, offer))
    }

    /// All events, oldest first, also those that are too old for the API.
    pub fn events(&self) -> Vec<Value> {
        self.engine().state().events.all().iter().map(|event| event.body.clone()).collect()
    }

    pub fn event_count(&self) -> usize {
        self.engine().state().events.all().len()
    }

    /// So many of the next events Stripe fails to make: they are neither sent nor listed.
    pub fn lose_next_events(&self, count: u32) {
        self.engine().state().lost.next = count;
    }

    /// Sends a `v2.core.health.event_generation_failure.resolved` for each lost event. Returns
    /// their ids.
    pub fn report_lost_events(&self) -> Vec<String> {
        control::report_lost_events(self.engine())
    }

    /// Sends a `v2.core.health.event_generation_failure.resolved` about any object. Returns its id.
    pub fn report_generation_failure(&self, event_type: &str, object: &str) -> String {
        let lost = LostEvent { event_type: event_type.to_owned(), object: object.to_owned() };
        self.engine().change(|change| change.report_lost(&lost))
    }

    /// Forgets all events, as if Stripe had never made them.
    pub fn clear_events(&self) {
        self.engine().state().events.clear();
    }
}

/// What Stripe has switched on for the platform.
impl Simulator {
    /// The beta flags that `Stripe-Version` may have. `embedded_connect_beta` alone at first.
    pub fn set_beta_flags(&self, flags: &[&str]) {
        self.engine().state().beta_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// Whether summaries and accepted terms have the fields of Stripe's newest preview, such as
    /// `overdue_amount`. They have at first.
    pub fn set_preview_fields(&self, sends: bool) {
        self.engine().state().sends_preview_fields = sends;
    }
}

/// Money.
impl Simulator {
    /// A customer buys from a merchant, and active financings get their share.
    pub fn charge(&self, account: &str, new: &NewCharge) -> Result<ChargeOutcome, ActionError> {
        self.engine().change(|change| charge::charge(change, account, new))
    }

    /// Refunds a part of a charge. Returns the refund's id. What was withheld stays withheld.
    pub fn refund(&self, charge: &str, minor: i64) -> Result<String, ActionError> {
        self.engine().change(|change| charge::refund(change, charge, minor))
    }

    /// The merchant pays. Returns the transaction's id.
    pub fn pay(&self, offer: &str, minor: i64, from: PaymentSource) -> Result<String, ActionError> {
        self.engine().change(|change| payment::pay_manually(change, offer, minor, from))
    }

    /// Stripe collects what an interval's minimum lacks. Returns the transaction's id.
    pub fn collect(
        &self,
        offer: &str,
        minor: i64,
        from: PaymentSource,
    ) -> Result<String, ActionError> {
        self.engine().change(|change| payment::collect(change, offer, minor, from))
    }

    /// Undoes a payment, whole and once. Returns the reversal's id.
    pub fn reverse(
        &self,
        transaction: &str,
        reason: ReversalReason,
    ) -> Result<String, ActionError> {
        self.engine().change(|change| reversal::reverse(change, transaction, reason))
    }

    /// Sends an account's sales to its bank. Returns the payout's id; none if there is nothing.
    pub fn pay_out(&self, account: &str) -> Option<String> {
        self.engine().change(|change| balance::pay_out_sales(change, account))
    }

    /// An account's active financings, oldest first.
    pub fn active_financings(&self, account: &str) -> Vec<ActiveFinancing> {
        self.engine().state().ledger.remaining(account)
    }

    /// An account's summary as the API shows it.
    pub fn summary(&self, account: &str) -> Value {
        summarize(&self.engine().state(), account, self.engine().time.now())
    }

    /// An account's financing transactions as the API shows them, oldest first.
    pub fn transactions(&self, account: &str) -> Vec<Value> {
        self.engine().state().transactions.get(account).cloned().unwrap_or_default()
    }

    /// Adds a financing transaction of any shape, without an event.
    pub fn add_transaction(&self, account: &str, transaction: Value) {
        let mut state = self.engine().state();
        state.transactions.entry(account.to_owned()).or_default().push(transaction);
    }

    /// An account's balance transactions as the API shows them, oldest first.
    pub fn balance_transactions(&self, account: &str) -> Vec<Value> {
        let state = self.engine().state();
        let balance = state.balances.get(account);
        balance.map(|balance| balance.transactions.clone()).unwrap_or_default()
    }

    /// What moved an account's money, oldest first.
    pub fn journal(&self, account: &str) -> Vec<Movement> {
        self.engine().state().journal.get(account).cloned().unwrap_or_default()
    }
}

/// Faults, and what was asked.
impl Simulator {
    /// The next requests that match go wrong.
    pub fn inject(&self, fault: Fault) {
        self.server.faults.push(fault);
    }

    pub fn clear_faults(&self) {
        self.server.faults.clear();
    }

    /// The last hundred thousand requests, oldest first.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.server.requests()
    }
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    let stop = server.engine.stop.clone();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let (handler, stop) = (Arc::clone(&server), stop.clone());
        server.engine.tasks.spawn(async move {
            let service = service_fn(move |request| Arc::clone(&handler).serve(request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // Fails where a fault closes the connection, or the client does.
                _ = connection => {}
                () = stop.cancelled() => {}
            }
        });
    }
}
