//! Several processes on one database: frozen, started together, and replaced under load.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capital_courier::clock::Clock;
use capital_courier::database;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, Simulator, sign};

use crate::support::SECRET;
use crate::support::expect_letters::{letter_state, uncertain_attempts};
use crate::support::process::{Process, command, post, world};
use crate::support::smtp::{Step, Trouble};
use crate::support::wait::eventually;

fn create_offer(stripe: &Simulator) -> String {
    let email = Some("jenny@bakery.example".to_owned());
    let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
    stripe.create_offer(&account, &NewOffer::default())
}

/// Delivers the only event at Stripe to a process.
async fn post_event(process: &Process, stripe: &Simulator) {
    let body = serde_json::to_vec(&stripe.events()[0]).unwrap();
    assert_eq!(post(process.webhook.as_ref().unwrap(), body).await, 200);
}

async fn expect_lost_lease(process: &Process) {
    eventually(|| process.logged(), async || process.logged().contains("lost the lease")).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_worker_frozen_past_its_lease_cannot_send_another_workers_letter(db: PgPool) {
    let (stripe, relay, env) = world(&db).await;
    let frozen = Process::serve(&env).await;
    // The process is frozen just before it sends the message.
    relay.fail(Step::Data, Trouble::Wait(Duration::from_millis(500)), 1);
    let offer = create_offer(&stripe);
    post_event(&frozen, &stripe).await;
    relay.reached(Step::Data).await;
    frozen.signal("-STOP");
    let other = Process::serve(&env).await;
    eventually(|| other.logged(), async || stripe.delivered_marks(&offer) == 1).await;
    frozen.signal("-CONT");
    expect_lost_lease(&frozen).await;
    assert_eq!((relay.letters().len(), stripe.delivered_marks(&offer)), (1, 1));
    assert_eq!(letter_state(&db, &offer).await.as_deref(), Some("sent"));
    assert_eq!(uncertain_attempts(&db, &offer).await, 0, "the frozen process sent no message");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_worker_frozen_past_its_lease_cannot_finish_another_workers_letter(db: PgPool) {
    let (stripe, relay, mut env) = world(&db).await;
    env.insert("COURIER_EMAIL__WHEN_UNCERTAIN".to_owned(), "hold".to_owned());
    let frozen = Process::serve(&env).await;
    relay.fail(Step::Dot, Trouble::Wait(Duration::from_millis(500)), 1);
    let offer = create_offer(&stripe);
    post_event(&frozen, &stripe).await;
    relay.reached(Step::Dot).await;
    frozen.signal("-STOP");
    let other = Process::serve(&env).await;
    let is_held = async || letter_state(&db, &offer).await.as_deref() == Some("held");
    eventually(|| other.logged(), is_held).await;
    frozen.signal("-CONT");
    expect_lost_lease(&frozen).await;
    assert_eq!((relay.letters().len(), stripe.delivered_marks(&offer)), (1, 0));
    assert_eq!(letter_state(&db, &offer).await.as_deref(), Some("held"));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_renewed_lease_keeps_a_slow_letter_with_its_worker(db: PgPool) {
    let (stripe, relay, env) = world(&db).await;
    let (one, _other) = (Process::serve(&env).await, Process::serve(&env).await);
    // The lease lasts three seconds and is renewed.
    relay.fail(Step::Dot, Trouble::Wait(Duration::from_secs(5)), 1);
    let offer = create_offer(&stripe);
    post_event(&one, &stripe).await;
    eventually(|| one.logged(), async || stripe.delivered_marks(&offer) == 1).await;
    assert_eq!((relay.letters().len(), uncertain_attempts(&db, &offer).await), (1, 0));
}

#[sqlx::test(migrations = false)]
async fn six_processes_migrate_one_database_concurrently(db: PgPool) {
    let (_stripe, _relay, env) = world(&db).await;
    let migrating = (0..6).map(|_| command(&["migrate"], &env).output());
    for output in futures_util::future::join_all(migrating).await {
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(database::health(&db.clone().into()).await, database::Health::Ready);
}

/// Clients of a load balancer: they send one event after another to the processes in turn.
#[derive(Clone, Default)]
struct Load {
    /// The webhooks of the processes that take new connections.
    urls: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    failed_connections: Arc<AtomicU32>,
}

impl Load {
    async fn run(self, client_number: usize) {
        let client = reqwest::Client::builder().build().unwrap();
        while !self.is_over.load(Ordering::SeqCst) {
            let number = self.sent.fetch_add(1, Ordering::SeqCst);
            let body = format!(r#"{{"id":"evt_{number}","type":"charge.succeeded"}}"#).into_bytes();
            // As at a load balancer, the next process gets a request whose connection fails.
            for turn in client_number.. {
                let request = client
                    .post(self.url(turn))
                    .header("Stripe-Signature", sign(&body, &[SECRET.to_owned()], now()))
                    .body(body.clone());
                match request.send().await {
                    Ok(answer) => {
                        assert_eq!(answer.status(), 200);
                        break;
                    }
                    Err(_) => self.failed_connections.fetch_add(1, Ordering::SeqCst),
                };
            }
        }
    }

    fn url(&self, turn: usize) -> String {
        let urls = self.urls.lock().unwrap();
        urls[turn % urls.len()].clone()
    }
}

fn now() -> DateTime<Utc> {
    Clock::system().now()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_rolling_restart_under_load_loses_no_event(db: PgPool) {
    let (_stripe, _relay, env) = world(&db).await;
    let mut processes = vec![Process::serve(&env).await, Process::serve(&env).await];
    let load = Load::default();
    let webhooks = processes.iter().map(|process| process.webhook.clone().unwrap());
    load.urls.lock().unwrap().extend(webhooks);
    let clients: Vec<_> = (0..4).map(|number| tokio::spawn(load.clone().run(number))).collect();
    for _ in 0..4 {
        let fresh = Process::serve(&env).await;
        let mut old = processes.remove(0);
        {
            let mut urls = load.urls.lock().unwrap();
            urls.remove(0);
            urls.push(fresh.webhook.clone().unwrap());
        }
        processes.push(fresh);
        old.signal("-TERM");
        assert_eq!(old.ended().await.code(), Some(0), "{}", old.logged());
    }
    load.is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let stored: i64 =
        sqlx::query_scalar("select count(*) from inbox_events").fetch_one(&db).await.unwrap();
    let sent = load.sent.load(Ordering::SeqCst);
    let failed = load.failed_connections.load(Ordering::SeqCst);
    assert_eq!(stored, i64::from(sent));
    assert!(sent > 100 && failed <= 16, "{failed} connections of {sent} failed");
}
