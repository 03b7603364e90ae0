//! Throughput of the whole service: N offers, each event posted three times over 32 connections,
//! until each is marked at Stripe. HTTP, Postgres (`DATABASE_URL`) and SMTP are real, Stripe is
//! simulated, and all of them share this machine.
//!
//! `scripts/bench` runs it. It is not a test: it checks that no letter is lost, and prints rates.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing to measure")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures wall-clock time and is not part of the service"
)]
#![expect(clippy::print_stdout, reason = "it prints its results")]
#![allow(unreachable_pub, dead_code, reason = "the shared test relay has more than is used here")]

#[path = "../tests/it/support/smtp.rs"]
mod smtp;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capital_courier::app::{App, Role};
use capital_courier::clock::Clock;
use capital_courier::config::{Requirement, Settings};
use capital_courier::database::Pool;
use capital_courier::shutdown::Shutdown;
use futures_util::stream::{self, StreamExt};
use stripe_simulator::{NewAccount, NewOffer, Options, Simulator, TimeSource, sign};

const CONNECTIONS: usize = 32;
const API_KEY: &str = "sk_test_benchmark";
const SECRET: &str = "whsec_benchmark";

fn settings(stripe: &Simulator, relay: &smtp::Relay) -> Settings {
    let env: HashMap<String, String> = [
        ("DATABASE_URL", std::env::var("DATABASE_URL").expect("scripts/bench sets it")),
        ("STRIPE_API_KEY", API_KEY.to_owned()),
        ("STRIPE_WEBHOOK_SECRET", SECRET.to_owned()),
        ("SMTP_URL", relay.url()),
        ("COURIER_STRIPE__API_BASE", stripe.base_url().to_string()),
        // With Stripe's own limit, the benchmark would measure nothing else.
        ("COURIER_STRIPE__REQUESTS_PER_SECOND", "1000000".to_owned()),
        ("COURIER_EMAIL__FROM", "Rocket Capital <capital@rocket.example>".to_owned()),
        ("COURIER_EMAIL__POSTAL_ADDRESS", "1 Main Street, Springfield".to_owned()),
        ("COURIER_CAPITAL__PROGRAM_NAME", "Rocket Capital".to_owned()),
        ("COURIER_CAPITAL__DASHBOARD_URL", "https://rocket.example/capital".to_owned()),
        ("COURIER_HTTP__LISTEN", "127.0.0.1:0".to_owned()),
        ("COURIER_OPS__LISTEN", "127.0.0.1:0".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    Settings::load(None, &env, Requirement::WebhookSecret).unwrap()
}

async fn post_all(url: &str, posts: Vec<Vec<u8>>) -> Duration {
    let client = reqwest::Client::builder().pool_max_idle_per_host(CONNECTIONS).build().unwrap();
    let (url, started) = (Arc::new(url.to_owned()), Instant::now());
    let answers = stream::iter(posts).map(|body| {
        let signature = sign(&body, &[SECRET.to_owned()], Clock::system().now());
        let request = client.post(url.as_str()).header("Stripe-Signature", signature);
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    });
    let answers: Vec<u16> = answers.buffer_unordered(CONNECTIONS).collect().await;
    assert!(answers.iter().all(|status| *status == 200));
    started.elapsed()
}

async fn wait_for_deliveries(db: &Pool, count: i64) {
    loop {
        let delivered: i64 =
            sqlx::query_scalar("select count(*) from deliveries where state = 'delivered'")
                .fetch_one(db)
                .await
                .unwrap();
        if delivered >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() {
    // `cargo bench` adds arguments of its own.
    let count: u32 =
        std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1000);
    let listen = "127.0.0.1:0".parse().unwrap();
    let options = Options { listen, api_key: API_KEY.to_owned(), time: TimeSource::system() };
    let (stripe, relay) = (Simulator::start(options).await.unwrap(), smtp::Relay::start().await);
    let app = App::open(settings(&stripe, &relay), Clock::system()).await.unwrap();
    let email = Some("jenny@bakery.example".to_owned());
    let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
    for _ in 0..count {
        stripe.create_offer(&account, &NewOffer::default());
    }
    let bodies: Vec<Vec<u8>> =
        stripe.events().iter().map(|event| serde_json::to_vec(event).unwrap()).collect();
    let posts: Vec<Vec<u8>> = bodies.iter().flat_map(|body| vec![body.clone(); 3]).collect();

    let shutdown = Shutdown::default();
    let (ready, address) = tokio::sync::oneshot::channel();
    let serving = app.serve(Role::Serve, &shutdown, |address| ready.send(address).unwrap());
    let measuring = async {
        let url = format!("http://{}/webhooks/stripe", address.await.unwrap());
        let started = Instant::now();
        let post_seconds = post_all(&url, posts).await.as_secs_f64();
        wait_for_deliveries(app.db(), i64::from(count)).await;
        let total_seconds = started.elapsed().as_secs_f64();
        shutdown.soft.cancel();
        println!("{count} offers, each event three times, {CONNECTIONS} connections");
        println!("  events accepted        {:8.0} per second", f64::from(count * 3) / post_seconds);
        println!(
            "  letters sent and marked {:7.1} per second, all within {total_seconds:.1} s",
            f64::from(count) / total_seconds
        );
    };
    let (served, ()) = tokio::join!(serving, measuring);
    served.unwrap();
    assert_eq!(relay.letters().len(), usize::try_from(count).unwrap(), "each offer has one letter");
    app.close().await;
}
