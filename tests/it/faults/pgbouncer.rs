//! Processes that reach Postgres through a real PgBouncer, in each pool mode.

use std::collections::{HashMap, HashSet};

use capital_courier::clock::Clock;
use capital_courier::config::DatabaseOnly;
use capital_courier::database;
use chrono::TimeDelta;
use futures_util::StreamExt;
use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, Simulator};

use crate::support::pgbouncer::PgBouncer;
use crate::support::process::{Process, command, post, world};
use crate::support::smtp::Relay;
use crate::support::wait::eventually;

/// Simulator, relay, and the environment of processes behind this PgBouncer.
async fn behind(
    db: &PgPool,
    bouncer: &PgBouncer,
    connections: &str,
) -> (Simulator, Relay, HashMap<String, String>) {
    let (stripe, relay, mut env) = world(db).await;
    env.insert("DATABASE_URL".to_owned(), bouncer.url.clone());
    env.insert("COURIER_DATABASE__MAX_CONNECTIONS".to_owned(), connections.to_owned());
    env.insert("COURIER_DATABASE__ACQUIRE_TIMEOUT".to_owned(), "3s".to_owned());
    (stripe, relay, env)
}

/// Announces `count` offers to the processes in turn and expects each to be delivered once.
async fn expect_deliveries(
    count: usize,
    stripe: &Simulator,
    relay: &Relay,
    processes: &[&Process],
) {
    let account = stripe.add_account(&NewAccount {
        email: Some("jenny@bakery.example".to_owned()),
        ..NewAccount::default()
    });
    let offers: Vec<String> =
        (0..count).map(|_| stripe.create_offer(&account, &NewOffer::default())).collect();
    let posts = stripe.events().into_iter().enumerate().map(|(number, event)| {
        let url = processes[number % processes.len()].webhook.clone().unwrap();
        async move { post(&url, serde_json::to_vec(&event).unwrap()).await }
    });
    let answers: Vec<u16> = futures_util::stream::iter(posts).buffer_unordered(8).collect().await;
    let logged = || processes.iter().map(|process| process.logged()).collect::<Vec<_>>().join("\n");
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}\n{}", logged());
    let context = || format!("an offer is not marked\n{}", logged());
    eventually(context, async || offers.iter().all(|offer| stripe.delivered_marks(offer) == 1))
        .await;
    let ids: HashSet<String> =
        relay.letters().iter().map(|letter| letter.header("Message-ID")).collect();
    assert_eq!((relay.letters().len(), ids.len()), (count, count));
}

#[sqlx::test(migrations = false)]
async fn in_transaction_mode_two_processes_migrate_and_deliver(db: PgPool) {
    let bouncer = PgBouncer::start(&db, "transaction", 3, "").await;
    let (stripe, relay, env) = behind(&db, &bouncer, "10").await;
    // Both processes migrate the empty database at the same time.
    let (one, other) = tokio::join!(Process::serve(&env), Process::serve(&env));
    expect_deliveries(100, &stripe, &relay, &[&one, &other]).await;
    for process in [&one, &other] {
        let log = process.logged();
        assert!(log.contains("detected a pooler in transaction mode"), "{log}");
        for unexpected in ["prepared statement", "\"ERROR\"", "database:"] {
            assert!(!log.contains(unexpected), "`{unexpected}` in {log}");
        }
        assert!(log.contains("sent letter"), "{log}");
    }
    let day = |days| (Clock::system().now() + TimeDelta::days(days)).date_naive().to_string();
    let (from, until) = (day(-1), day(2));
    let arguments = ["report", "delivery", "--from", &from, "--to", &until];
    let report = command(&arguments, &env).output().await.unwrap();
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    assert_eq!(String::from_utf8(report.stdout).unwrap().lines().count(), 101);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn in_session_mode_too_few_servers_cause_only_a_warning(db: PgPool) {
    let bouncer = PgBouncer::start(&db, "session", 3, "").await;
    let (stripe, relay, env) = behind(&db, &bouncer, "8").await;
    let process = Process::serve(&env).await;
    let log = process.logged();
    let warning = "only 3 of the 8 connections of database.max_connections can be opened";
    assert!(log.contains(warning) && log.contains("default_pool_size"), "{log}");
    expect_deliveries(20, &stripe, &relay, &[&process]).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn in_session_mode_enough_servers_cause_no_warning(db: PgPool) {
    let bouncer = PgBouncer::start(&db, "session", 10, "").await;
    let (stripe, relay, env) = behind(&db, &bouncer, "8").await;
    let process = Process::serve(&env).await;
    expect_deliveries(20, &stripe, &relay, &[&process]).await;
    let log = process.logged();
    assert!(
        !log.contains("connections of database.max_connections") && !log.contains("pooler"),
        "{log}"
    );
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn in_statement_mode_startup_fails_and_names_the_remedy(db: PgPool) {
    let bouncer = PgBouncer::start(&db, "statement", 3, "").await;
    let (_stripe, _relay, env) = behind(&db, &bouncer, "8").await;
    let mut process = Process::serve(&env).await;
    assert_eq!(process.ended().await.code(), Some(1));
    let log = process.logged();
    assert!(log.contains("in statement mode") && log.contains("pool_mode = transaction"), "{log}");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_pooler_is_detected_however_it_assigns_its_servers(db: PgPool) {
    let open = async |url: &str, pooler: &str| {
        let env = [("DATABASE_URL", url), ("COURIER_DATABASE__POOLER", pooler)];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let database =
            database::open(&DatabaseOnly::load(None, &env).unwrap().database).await.unwrap();
        let is_pooled = database.pool.is_pooled();
        assert_eq!(database::health(&database.pool).await, database::Health::Ready);
        database.close().await;
        is_pooled
    };
    for extra in ["", "server_round_robin = 1", "server_round_robin = 1\nmin_pool_size = 2"] {
        for servers in [1, 2, 3] {
            let bouncer = PgBouncer::start(&db, "transaction", servers, extra).await;
            for _ in 0..3 {
                assert!(open(&bouncer.url, "auto").await, "{servers} servers, {extra}");
            }
        }
    }
    let direct = crate::support::process::url_of(&db);
    assert!(!open(&direct, "auto").await);
    assert!(open(&direct, "transaction").await, "the setting overrides the detection");
}
