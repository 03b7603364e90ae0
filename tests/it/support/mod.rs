//! What the tests share: the service under test, a simulator as Stripe, a relay, and assertions.

pub mod aiosmtpd;
pub mod browser;
pub mod collector;
pub mod dkim;
mod expect_flow;
pub mod expect_letters;
#[path = "../../../crates/stripe-simulator/tests/support/expected_ledger.rs"]
pub mod expected_ledger;
pub mod https;
pub mod pgbouncer;
pub mod process;
#[path = "../../../crates/stripe-simulator/tests/support/random_merchant.rs"]
pub mod random_merchant;
pub mod scrape;
pub mod smtp;
pub mod stripe;
pub mod wait;

use std::collections::HashMap;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use capital_courier::app::App;
use capital_courier::clock::Clock;
use capital_courier::config::{Requirement, Settings};
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::BodyExt;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};
use stripe_simulator::{
    NewAccount, NewOffer, Options, RecordedRequest, Simulator, TimeSource, WebhookEndpoint, sign,
};
use tower::ServiceExt;

use smtp::{Received, Relay};

pub const API_KEY: &str = "sk_test_courier";
pub const SECRET: &str = "whsec_courier";

/// The database as the service's own role sees it, which `deploy/roles.sql` makes.
pub async fn as_service(db: &PgPool) -> PgPool {
    db.execute(include_str!("../../../deploy/roles.sql")).await.unwrap();
    PgPoolOptions::new()
        .max_connections(10)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute("set role courier_service").await.map(drop) })
        })
        .connect_with(db.connect_options().as_ref().clone())
        .await
        .unwrap()
}

/// The service and what it depends on. Each test ends with [`TestApp::finish`], which fails if work
/// is left or if the relay and the database disagree about what was sent.
pub struct TestApp {
    pub app: App,
    pub stripe: Simulator,
    pub relay: Relay,
    pub clock: Clock,
    pub db: PgPool,
    router: Router,
    finished: bool,
}

/// A response of the service.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn expect_kept(self) {
        assert_eq!((self.status, self.body), (200, serde_json::json!({"received": true})));
    }

    pub fn expect_refused(self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["error"]["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
        assert!(self.body["error"]["message"].as_str().is_some_and(|message| message.len() > 20));
    }
}

/// When every test begins.
pub fn day_one() -> DateTime<Utc> {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// The service's clock, for the simulator: both move together.
pub fn time_source(clock: &Clock) -> TimeSource {
    let (read, moved) = (clock.clone(), clock.clone());
    TimeSource::from_fns(move || read.now(), move |by| moved.advance(by))
}

/// The settings of every service under test.
pub fn environment(stripe: &Simulator, relay_url: &str) -> HashMap<String, String> {
    [
        ("STRIPE_API_KEY", API_KEY),
        ("STRIPE_WEBHOOK_SECRET", SECRET),
        ("COURIER_STRIPE__API_BASE", stripe.base_url().as_str()),
        // The tests do not wait for Stripe's rate limit.
        ("COURIER_STRIPE__REQUESTS_PER_SECOND", "100000"),
        ("SMTP_URL", relay_url),
        ("COURIER_EMAIL__FROM", "Rocket Capital <capital@rocket.example>"),
        ("COURIER_EMAIL__REPLY_TO", "help@rocket.example"),
        ("COURIER_EMAIL__POSTAL_ADDRESS", "1 Main Street, Springfield, IL 62701"),
        ("COURIER_CAPITAL__PROGRAM_NAME", "Rocket Capital"),
        ("COURIER_CAPITAL__DASHBOARD_URL", "https://rocket.example/capital"),
        ("COURIER_HTTP__PUBLIC_URL", "https://courier.rocket.example"),
        ("COURIER_PORTAL__TOKEN_SECRET", "0123456789abcdef0123456789abcdef"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Calls a router without a connection.
pub async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() }
}

impl TestApp {
    pub async fn start(db: PgPool) -> Self {
        Self::start_with(db, &[]).await
    }

    /// With additional settings, as environment variables.
    pub async fn start_with(db: PgPool, settings: &[(&str, &str)]) -> Self {
        let relay = Relay::start().await;
        let clock = Clock::movable(day_one());
        let key = settings
            .iter()
            .find(|(name, _)| *name == "STRIPE_API_KEY")
            .map_or(API_KEY, |(_, key)| key);
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            api_key: key.to_owned(),
            time: time_source(&clock),
        };
        let stripe = Simulator::start(options).await.unwrap();
        let mut env = environment(&stripe, &relay.url());
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let settings = Settings::load(None, &env, Requirement::WebhookSecret).unwrap();
        let app = App::with_database(settings, clock.clone(), db.clone().into()).unwrap();
        let router = app.router().unwrap();
        Self { app, stripe, relay, clock, db, router, finished: false }
    }

    /// The settings of this platform with these on top.
    pub fn settings_with(&self, settings: &[(&str, &str)]) -> Settings {
        let mut env = environment(&self.stripe, &self.relay.url());
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Settings::load(None, &env, Requirement::WebhookSecret).unwrap()
    }

    /// Another process of the same platform, with these settings on top.
    pub fn another_with(&self, settings: &[(&str, &str)]) -> App {
        App::with_database(self.settings_with(settings), self.clock.clone(), self.db.clone().into())
            .unwrap()
    }

    /// Registers a webhook endpoint that is down: every later event is undelivered at Stripe.
    /// Without an endpoint, none is.
    pub fn register_broken_webhook(&self) {
        // Port 9 (discard): nothing listens there.
        let url = "http://127.0.0.1:9/webhooks/stripe".parse().unwrap();
        let endpoint = WebhookEndpoint::new(url, SECRET);
        self.stripe.register_webhook(WebhookEndpoint { max_attempts: 1, ..endpoint });
    }

    /// A merchant with an address, and an offer to it. The event is not sent yet.
    pub fn offer(&self) -> String {
        self.offer_to(Some("jenny@bakery.example"))
    }

    pub fn offer_to(&self, email: Option<&str>) -> String {
        let account = NewAccount {
            name: Some("Jenny's Bakery".to_owned()),
            email: email.map(str::to_owned),
            country: None,
        };
        let account = self.stripe.add_account(&account);
        self.stripe.create_offer(&account, &NewOffer::default())
    }

    /// The newest event of a type about an offer.
    pub fn event(&self, offer: &str, event_type: &str) -> Value {
        let mut events = self.stripe.events();
        events
            .retain(|event| event["type"] == event_type && event["data"]["object"]["id"] == offer);
        events.pop().unwrap_or_else(|| panic!("Stripe has no {event_type} for {offer}"))
    }

    pub fn created(&self, offer: &str) -> Value {
        self.event(offer, "capital.financing_offer.created")
    }

    /// Sends a signed event to the webhook.
    pub async fn stripe_sends(&self, event: &Value) -> Answer {
        self.stripe_sends_bytes(serde_json::to_vec(event).unwrap()).await
    }

    pub async fn stripe_sends_bytes(&self, body: Vec<u8>) -> Answer {
        let header = sign(&body, &[SECRET.to_owned()], self.clock.now());
        self.post(body, Some(&header)).await
    }

    pub async fn post(&self, body: Vec<u8>, signature: Option<&str>) -> Answer {
        let mut request = Request::post("/webhooks/stripe")
            .header("Content-Type", "application/json; charset=utf-8");
        if let Some(signature) = signature {
            request = request.header("Stripe-Signature", signature);
        }
        self.ask(request.body(Body::from(body)).unwrap()).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        ask(&self.router, request).await
    }

    pub async fn run_due_work(&self) {
        self.app.run_due_work().await.unwrap();
    }

    /// Advances the clock and runs all due work.
    pub async fn after(&self, time: TimeDelta) {
        self.clock.advance(time);
        self.run_due_work().await;
    }

    /// State and reason of an offer's letter.
    pub async fn letter(&self, offer: &str) -> (String, Option<String>) {
        sqlx::query_as("select state, reason from letters where offer_id = $1")
            .bind(offer)
            .fetch_one(&self.db)
            .await
            .unwrap()
    }

    pub async fn expect_letter(&self, offer: &str, state: &str, reason: Option<&str>) {
        assert_eq!(self.letter(offer).await, (state.to_owned(), reason.map(str::to_owned)));
    }

    /// The offer's letter was sent once, and its delivery was reported to Stripe once.
    pub async fn expect_delivered(&self, offer: &str) -> Received {
        self.expect_letter(offer, "sent", None).await;
        let state: String =
            self.one("select state from deliveries where offer_id = $1", offer).await;
        assert_eq!(state, "delivered");
        assert_eq!(self.stripe.delivered_marks(offer), 1);
        assert_eq!(self.stripe.offer(offer).unwrap()["status"], "delivered");
        let message_id: String =
            self.one("select message_id from letters where offer_id = $1", offer).await;
        let mut letters = self.relay.letters();
        letters.retain(|letter| letter.header("Message-ID") == format!("<{message_id}>"));
        assert_eq!(letters.len(), 1, "letters with this Message-ID");
        letters.remove(0)
    }

    /// The delivery was not reported, and the relay accepted nothing.
    pub async fn expect_untouched(&self, offer: &str) {
        assert_eq!(self.stripe.delivered_marks(offer), 0);
        assert!(self.relay.letters().is_empty());
        let deliveries: i64 =
            self.one("select count(*) from deliveries where offer_id = $1", offer).await;
        assert_eq!(deliveries, 0);
    }

    /// The kinds of an offer's timeline entries, in order.
    pub async fn timeline(&self, offer: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select kind from timeline_entries where offer_id = $1 order by timeline_entry_id",
        )
        .bind(offer)
        .fetch_all(&self.db)
        .await
        .unwrap()
    }

    pub async fn one<T>(&self, query: &'static str, argument: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(query).bind(argument).fetch_one(&self.db).await.unwrap()
    }

    pub fn calls_to_mark(&self) -> Vec<RecordedRequest> {
        let mut calls = self.stripe.requests();
        calls.retain(|call| call.path.ends_with("/mark_delivered"));
        calls
    }

    /// Ends the test. Nothing is left to do, and every message that the relay accepted is recorded.
    pub async fn finish(mut self) {
        self.finished = true;
        let open: i64 = sqlx::query_scalar(
            "select count(*) from jobs where state in ('queued', 'claimed')
                 and kind in ('send_letter', 'mark_delivered', 'refresh_offer')",
        )
        .fetch_one(&self.db)
        .await
        .unwrap();
        assert_eq!(open, 0, "jobs are left");
        let unread: i64 =
            sqlx::query_scalar("select count(*) from inbox_events where state = 'unread'")
                .fetch_one(&self.db)
                .await
                .unwrap();
        assert_eq!(unread, 0, "events are left");
        // Each letter that was sent, or may have been, is recorded as such, and no other is.
        let recorded: Vec<(String, bool)> = sqlx::query_as(
            "select '<' || message_id || '>', uncertain_attempts > 0 from letters
             where state in ('sent', 'bounced') or uncertain_attempts > 0",
        )
        .fetch_all(&self.db)
        .await
        .unwrap();
        let mut sent: HashMap<String, u32> = HashMap::new();
        for letter in self.relay.letters() {
            *sent.entry(letter.header("Message-ID")).or_default() += 1;
        }
        for (id, is_uncertain) in &recorded {
            let times = sent.remove(id).unwrap_or_default();
            assert!(
                *is_uncertain || times == 1,
                "{id} is recorded as sent, but the relay accepted it {times} times"
            );
        }
        assert!(sent.is_empty(), "sent but not recorded: {sent:?}");
        self.stripe.stop();
    }
}

impl TestApp {
    /// Ends a test that broke its database.
    pub fn abandon(mut self) {
        self.finished = true;
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        assert!(
            self.finished || std::thread::panicking(),
            "end the test with `app.finish().await`"
        );
    }
}
