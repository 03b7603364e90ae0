//! Several processes on one database: stopped, started, replaced, and none in the way of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, Simulator};

use crate::support::process::{Process, command, post, world};
use crate::support::smtp::{Step, Trouble};

fn offer(stripe: &Simulator) -> String {
    let email = Some("jenny@bakery.example".to_owned());
    let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
    stripe.create_offer(&account, &NewOffer::default())
}

async fn until(what: &str, process: &Process, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "not in 30 s: {what}\n{}", process.logged());
}

async fn state(db: &PgPool) -> String {
    sqlx::query_scalar("select state from letters").fetch_one(db).await.unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_worker_that_was_frozen_past_its_lease_cannot_send_what_another_took(db: PgPool) {
    let (stripe, relay, env) = world(&db).await;
    let frozen = Process::serve(&env).await;
    // It is about to hand the message over when it is frozen.
    relay.fail(Step::Data, Trouble::Wait(Duration::from_millis(500)), 1);
    let offer = offer(&stripe);
    post(frozen.webhook.as_ref().unwrap(), serde_json::to_vec(&stripe.events()[0]).unwrap()).await;
    relay.reached(Step::Data).await;
    frozen.signal("-STOP");
    let other = Process::serve(&env).await;
    until("the other one delivers", &other, async || stripe.delivered_marks(&offer) == 1).await;
    frozen.signal("-CONT");
    until("the first one notices", &frozen, async || frozen.logged().contains("lost the lease"))
        .await;
    assert_eq!(
        (relay.letters().len(), stripe.delivered_marks(&offer), state(&db).await.as_str()),
        (1, 1, "sent")
    );
    let doubts: i32 =
        sqlx::query_scalar("select uncertain_attempts from letters").fetch_one(&db).await.unwrap();
    assert_eq!(doubts, 0, "nothing had been handed over");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_worker_that_was_frozen_past_its_lease_cannot_finish_what_another_settled(db: PgPool) {
    let (stripe, relay, mut env) = world(&db).await;
    env.insert("COURIER_EMAIL__WHEN_UNCERTAIN".to_owned(), "hold".to_owned());
    let frozen = Process::serve(&env).await;
    relay.fail(Step::Dot, Trouble::Wait(Duration::from_millis(500)), 1);
    let offer = offer(&stripe);
    post(frozen.webhook.as_ref().unwrap(), serde_json::to_vec(&stripe.events()[0]).unwrap()).await;
    relay.reached(Step::Dot).await;
    frozen.signal("-STOP");
    let other = Process::serve(&env).await;
    until("the other one holds the letter", &other, async || state(&db).await == "held").await;
    frozen.signal("-CONT");
    until("the first one notices", &frozen, async || frozen.logged().contains("lost the lease"))
        .await;
    assert_eq!(
        (relay.letters().len(), stripe.delivered_marks(&offer), state(&db).await.as_str()),
        (1, 0, "held")
    );
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_takes_longer_than_a_lease_stays_with_its_worker(db: PgPool) {
    let (stripe, relay, env) = world(&db).await;
    let (one, _other) = (Process::serve(&env).await, Process::serve(&env).await);
    // The lease is three seconds long, and renewed.
    relay.fail(Step::Dot, Trouble::Wait(Duration::from_secs(5)), 1);
    let offer = offer(&stripe);
    post(one.webhook.as_ref().unwrap(), serde_json::to_vec(&stripe.events()[0]).unwrap()).await;
    until("it is delivered", &one, async || stripe.delivered_marks(&offer) == 1).await;
    let doubts: i32 =
        sqlx::query_scalar("select uncertain_attempts from letters").fetch_one(&db).await.unwrap();
    assert_eq!((relay.letters().len(), doubts), (1, 0));
}

#[sqlx::test(migrations = false)]
async fn many_processes_migrate_at_once(db: PgPool) {
    let (_stripe, _relay, env) = world(&db).await;
    let migrating = (0..6).map(|_| command(&["migrate"], &env).output());
    for ended in futures_util::future::join_all(migrating).await {
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(
        capital_courier::database::health(&db.clone().into()).await,
        capital_courier::database::Health::Ready
    );
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_rolling_restart_under_load_costs_no_event_but_connections_that_were_cut(db: PgPool) {
    let (_stripe, _relay, env) = world(&db).await;
    let mut processes = vec![Process::serve(&env).await, Process::serve(&env).await];
    let urls = Arc::new(std::sync::Mutex::new(
        processes.iter().map(|process| process.webhook.clone().unwrap()).collect::<Vec<_>>(),
    ));
    let (stop, sent, cut) =
        (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let load: Vec<_> = (0..4_usize)
        .map(|lane| {
            let (urls, stop, sent, cut) = (urls.clone(), stop.clone(), sent.clone(), cut.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::builder().build().unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let number = sent.fetch_add(1, Ordering::SeqCst);
                    let body = format!(r#"{{"id":"evt_{number}","type":"charge.succeeded"}}"#)
                        .into_bytes();
                    // As a load balancer does: a connection that fails is tried with the next process.
                    for turn in 0.. {
                        let url = {
                            let urls = urls.lock().unwrap();
                            urls[(lane + turn) % urls.len()].clone()
                        };
                        let signature = stripe_simulator::sign(
                            &body,
                            &[crate::support::SECRET.to_owned()],
                            capital_courier::clock::Clock::system().now(),
                        );
                        let request = client
                            .post(&url)
                            .header("Stripe-Signature", signature)
                            .body(body.clone());
                        match request.send().await {
                            Ok(answer) => {
                                assert_eq!(answer.status(), 200);
                                break;
                            }
                            Err(_) => cut.fetch_add(1, Ordering::SeqCst),
                        };
                    }
                }
            })
        })
        .collect();
    for _ in 0..4 {
        let fresh = Process::serve(&env).await;
        let mut old = processes.remove(0);
        {
            let mut urls = urls.lock().unwrap();
            urls.remove(0);
            urls.push(fresh.webhook.clone().unwrap());
        }
        processes.push(fresh);
        old.signal("-TERM");
        assert_eq!(old.ended().await.code(), Some(0), "{}", old.logged());
    }
    stop.store(true, Ordering::SeqCst);
    for lane in load {
        lane.await.unwrap();
    }
    let kept: i64 =
        sqlx::query_scalar("select count(*) from inbox_events").fetch_one(&db).await.unwrap();
    let (sent, cut) = (sent.load(Ordering::SeqCst), cut.load(Ordering::SeqCst));
    assert_eq!(kept, i64::from(sent));
    assert!(sent > 100 && cut <= 16, "{cut} connections of {sent} were cut");
}
