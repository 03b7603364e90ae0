//! What the service talks to: a database, a simulated Stripe and a mail server. Each part leaves
//! it settled: every event read, every job done.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use stripe_simulator::{NewAccount, NewOffer, Options, Simulator, TimeSource};

use crate::database::{Database, SETTLED};
use crate::events::SECRET;
use crate::load::request;
use crate::service::Service;
use crate::smtp::Relay;

const API_KEY: &str = "sk_test_benchmark";
/// Signs merchants in.
pub const TOKEN_SECRET: &str = "0123456789abcdef0123456789abcdef";

pub struct World {
    pub stripe: Simulator,
    pub relay: Relay,
    pub db: Database,
    pub env: HashMap<String, String>,
    /// How many event numbers have been given out.
    numbers: AtomicUsize,
}

impl World {
    /// A new one, whose database has its schema and whose first jobs are done.
    pub async fn create(name: &str) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = Options { listen, api_key: API_KEY.to_owned(), time: TimeSource::system() };
        let (stripe, relay) = (Simulator::start(options).await.unwrap(), Relay::start().await);
        relay.keep_headers_only();
        let db = Database::create(name).await;
        let env = environment(&stripe, &relay, &db);
        let world = Self { stripe, relay, db, env, numbers: AtomicUsize::new(0) };
        world.settle().await;
        world
    }

    /// Runs the service until nothing is left to do.
    pub async fn settle(&self) {
        let service = Service::start(&["serve"], &self.env).await;
        self.db.wait_until(SETTLED).await;
        service.stop().await;
        self.db.calm().await;
    }

    pub async fn destroy(self) {
        self.stripe.stop();
        self.db.drop().await;
    }

    /// The service, with these settings besides the usual ones.
    pub async fn start(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Service {
        let mut env = self.env.clone();
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Service::start(arguments, &env).await
    }

    /// Numbers for so many new events.
    pub fn numbers(&self, count: usize) -> Range<usize> {
        let first = self.numbers.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }

    /// Makes an offer at Stripe, for a merchant of its own, and returns its id.
    pub fn create_offer(&self) -> String {
        let email = Some("jenny@bakery.example".to_owned());
        let account = self.stripe.add_account(&NewAccount { email, ..NewAccount::default() });
        self.stripe.create_offer(&account, &NewOffer::default())
    }

    /// Makes so many offers at Stripe. Returns their ids, and their events as signed requests.
    pub fn create_offers(&self, count: usize) -> (Vec<String>, Vec<Vec<u8>>) {
        self.stripe.clear_events();
        let offers = (0..count).map(|_| self.create_offer()).collect();
        let events = self.stripe.events();
        let requests =
            events.iter().map(|event| request(&serde_json::to_vec_pretty(event).unwrap()));
        (offers, requests.collect())
    }
}

fn environment(stripe: &Simulator, relay: &Relay, db: &Database) -> HashMap<String, String> {
    [
        ("DATABASE_URL", db.url.clone()),
        ("STRIPE_API_KEY", API_KEY.to_owned()),
        ("STRIPE_WEBHOOK_SECRET", SECRET.to_owned()),
        ("SMTP_URL", relay.url()),
        ("COURIER_STRIPE__API_BASE", stripe.base_url().to_string()),
        // With Stripe's own limit, most parts would measure nothing else.
        ("COURIER_STRIPE__REQUESTS_PER_SECOND", "1000000".to_owned()),
        ("COURIER_EMAIL__FROM", "Rocket Capital <capital@rocket.example>".to_owned()),
        ("COURIER_EMAIL__POSTAL_ADDRESS", "1 Main Street, Springfield".to_owned()),
        ("COURIER_CAPITAL__PROGRAM_NAME", "Rocket Capital".to_owned()),
        ("COURIER_CAPITAL__DASHBOARD_URL", "https://rocket.example/capital".to_owned()),
        ("COURIER_HTTP__PUBLIC_URL", "https://courier.rocket.example".to_owned()),
        ("COURIER_PORTAL__TOKEN_SECRET", TOKEN_SECRET.to_owned()),
        ("COURIER_API__REQUESTS_PER_SECOND", "0".to_owned()),
        // Reconciliation would find the offers whose events are about to be posted.
        ("COURIER_RECONCILE__EVERY", "48h".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
