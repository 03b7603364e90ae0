//! The campaign: kills replicas, restarts Postgres and breaks the relay and Stripe while thousands
//! of offers are delivered, and then counts at three independent places: Stripe, the mail server
//! and the database.
//!
//! `scripts/campaign` runs it with its own Postgres. Under `cargo test` alone it does nothing.

#![allow(clippy::unwrap_used, reason = "a failure here fails the campaign")]
#![allow(clippy::disallowed_methods, reason = "it is not part of the service")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its results")]
#![allow(unreachable_pub, dead_code, reason = "the shared test support has more than is used here")]

mod balancer;
mod clock;
mod count;
mod havoc;
mod offers;
mod slot;
#[path = "../it/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use stripe_simulator::{Options, Simulator, TimeSource, WebhookEndpoint};
use tokio_util::sync::CancellationToken;

use balancer::Balancer;
use support::smtp::Relay;
use support::{API_KEY, SECRET, environment};

/// The options of `scripts/campaign`.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    kills: u32,
    replicas: usize,
    events: usize,
    seed: u64,
    resend: bool,
}

/// Every system that takes part, and the counters.
pub struct World {
    plan: Plan,
    stripe: Simulator,
    relay: Relay,
    balancer: Balancer,
    db: PgPool,
    env: HashMap<String, String>,
    /// Environment variables that give the first replica a wrong wall clock.
    wrong_clock: HashMap<String, String>,
    kills: AtomicU32,
    /// Kills at a crash point where a letter's outcome is unknown.
    kills_while_uncertain: AtomicU32,
    postgres_restarts: AtomicU32,
    /// Status and log of each replica that exited without a kill.
    unexpected_exits: Mutex<Vec<String>>,
    /// Cancelled after the last kill, when all faults end.
    faults_over: CancellationToken,
    /// Cancelled at the end.
    finished: CancellationToken,
}

/// How long the remaining work may take once the faults are over. A job whose process was killed
/// eight times in a row, and that then fails, is postponed for some minutes.
const MAX_SETTLE_TIME: Duration = Duration::from_mins(20);

fn variable<T: std::str::FromStr>(name: &str, default: T) -> T {
    let name = format!("COURIER_CAMPAIGN_{name}");
    match std::env::var(&name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not valid")),
        Err(_) => default,
    }
}

/// The settings of each replica: short leases and time limits, so that a short run covers a lot.
fn settings(
    plan: Plan,
    stripe: &Simulator,
    relay: &Relay,
    database_url: &str,
) -> HashMap<String, String> {
    let mut env = environment(stripe, &relay.url());
    for (name, value) in [
        ("DATABASE_URL", database_url),
        ("COURIER_HTTP__LISTEN", "127.0.0.1:0"),
        ("COURIER_OPS__LISTEN", "127.0.0.1:0"),
        ("COURIER_DATABASE__MAX_CONNECTIONS", "10"),
        ("COURIER_DATABASE__ACQUIRE_TIMEOUT", "3s"),
        ("COURIER_DELIVERY__CONCURRENCY", "4"),
        ("COURIER_EMAIL__RELAY_TIMEOUT", "2s"),
        ("COURIER_EMAIL__RELAY_ANSWER_TIMEOUT", "2s"),
        ("COURIER_EMAIL__WHEN_UNCERTAIN", if plan.resend { "resend" } else { "hold" }),
        ("COURIER_QUEUE__LEASE", "3s"),
        ("COURIER_QUEUE__POLL_INTERVAL", "200ms"),
        ("COURIER_RECONCILE__EVERY", "5s"),
        ("COURIER_STRIPE__TIMEOUT", "2s"),
        ("COURIER_TELEMETRY__FILTER", "warn,capital_courier::app=info"),
        ("COURIER_TELEMETRY__FORMAT", "json"),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    env
}

impl World {
    async fn start(plan: Plan, wrong_clock: HashMap<String, String>) -> Arc<Self> {
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            api_key: API_KEY.to_owned(),
            time: TimeSource::system(),
        };
        let (stripe, relay) = (Simulator::start(options).await.unwrap(), Relay::start().await);
        relay.keep_headers_only();
        let balancer = Balancer::start().await;
        stripe.register_webhook(WebhookEndpoint {
            url: format!("http://{}/webhooks/stripe", balancer.address()).parse().unwrap(),
            secrets: vec![SECRET.to_owned()],
            first_retry_after: Duration::from_millis(100),
            max_attempts: 7,
            copies: 2,
            max_delay: Duration::from_millis(500),
        });
        let database_url =
            std::env::var("DATABASE_URL").expect("scripts/campaign sets DATABASE_URL");
        let env = settings(plan, &stripe, &relay, &database_url);
        let migrated = support::process::command(&["migrate"], &env).output().await.unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let db = sqlx::postgres::PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_mins(1))
            .connect(&database_url)
            .await
            .unwrap();
        Arc::new(Self {
            plan,
            stripe,
            relay,
            balancer,
            db,
            env,
            wrong_clock,
            kills: AtomicU32::new(0),
            kills_while_uncertain: AtomicU32::new(0),
            postgres_restarts: AtomicU32::new(0),
            unexpected_exits: Mutex::default(),
            faults_over: CancellationToken::new(),
            finished: CancellationToken::new(),
        })
    }

    fn record_exit(&self, report: &str) {
        self.unexpected_exits.lock().unwrap().push(report.to_owned());
    }

    /// Counts a kill. The last one ends the faults.
    fn count_kill(&self, is_uncertain: bool) {
        if is_uncertain {
            self.kills_while_uncertain.fetch_add(1, Ordering::SeqCst);
        }
        let kills = self.kills.fetch_add(1, Ordering::SeqCst) + 1;
        if kills >= self.plan.kills {
            self.faults_over.cancel();
        }
        if kills.is_multiple_of(50) {
            let letters = self.relay.count();
            eprintln!("  {kills} kills, {} events, {letters} letters", self.stripe.event_count());
        }
    }
}

/// The replicas run a copy of the program, because a build may replace it during the campaign.
fn copy_program(dir: &std::path::Path) {
    let copy = dir.join("capital-courier");
    std::fs::copy(env!("CARGO_BIN_EXE_capital-courier"), &copy).unwrap();
    support::process::PROGRAM.set(copy).unwrap();
}

async fn campaign(plan: Plan) -> bool {
    let dir = tempfile::tempdir().unwrap();
    copy_program(dir.path());
    let started = Instant::now();
    let world = World::start(plan, clock::environment(dir.path())).await;
    eprintln!("{plan:?} {:?}", world.wrong_clock);
    let jumping = tokio::spawn(clock::jump(Arc::clone(&world)));
    let slots: Vec<_> = (0..plan.replicas)
        .map(|number| tokio::spawn(slot::run(Arc::clone(&world), number)))
        .collect();
    let havoc = tokio::spawn(havoc::run(Arc::clone(&world)));
    offers::create_all(&world).await;
    // The kills may take longer than the offers.
    world.faults_over.cancelled().await;
    havoc.await.unwrap();
    world.relay.heal();
    world.stripe.clear_faults();
    let fault_time = started.elapsed();
    let settled = count::settle(&world, MAX_SETTLE_TIME).await;
    let settle_time = started.elapsed().saturating_sub(fault_time);
    world.finished.cancel();
    jumping.await.unwrap();
    for slot in slots {
        slot.await.unwrap();
    }
    count::table(&world, settled, fault_time, settle_time).await
}

fn main() -> ExitCode {
    if std::env::var("COURIER_CAMPAIGN_KILLS").is_err() {
        eprintln!("run the campaign with scripts/campaign");
        return ExitCode::SUCCESS;
    }
    let policy: String = variable("POLICY", "resend".to_owned());
    assert!(policy == "resend" || policy == "hold", "COURIER_CAMPAIGN_POLICY is resend or hold");
    let plan = Plan {
        kills: variable("KILLS", 30),
        replicas: variable("REPLICAS", 3),
        events: variable("EVENTS", 600),
        seed: variable("SEED", 1),
        resend: policy == "resend",
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let passed = runtime.block_on(campaign(plan));
    println!("{} passed, {} failed", i32::from(passed), i32::from(!passed));
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
