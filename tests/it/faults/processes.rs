//! The service as real processes: startup, shutdown, exit codes, and two processes on one database.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, Simulator};

use crate::support::process::{Outage, Process, command, post, try_post, world};
use crate::support::smtp::{Relay, Step, Trouble};
use crate::support::wait::eventually;
use crate::support::{API_KEY, SECRET};

fn create_offers(stripe: &Simulator, count: usize) -> Vec<String> {
    let account = stripe.add_account(&NewAccount {
        email: Some("jenny@bakery.example".to_owned()),
        ..NewAccount::default()
    });
    (0..count).map(|_| stripe.create_offer(&account, &NewOffer::default())).collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn two_processes_share_the_work_and_send_no_duplicates(db: PgPool) {
    let (stripe, relay, env) = world(&db).await;
    let (one, other) = (Process::serve(&env).await, Process::serve(&env).await);
    let offers = create_offers(&stripe, 60);
    for (number, event) in stripe.events().iter().enumerate() {
        let process = if number % 2 == 0 { &one } else { &other };
        assert_eq!(
            post(process.webhook.as_ref().unwrap(), serde_json::to_vec(event).unwrap()).await,
            200
        );
    }
    relay.wait_for(offers.len()).await;
    let are_marked = || offers.iter().all(|offer| stripe.delivered_marks(offer) == 1);
    eventually(|| "an offer is not marked".to_owned(), async || are_marked()).await;
    let mut message_ids: Vec<String> =
        relay.letters().iter().map(|letter| letter.header("Message-ID")).collect();
    message_ids.sort();
    message_ids.dedup();
    assert_eq!((relay.letters().len(), message_ids.len()), (60, 60));
    let sent_by = |process: &Process| process.logged().matches("sent letter").count();
    assert!(sent_by(&one) > 0 && sent_by(&other) > 0, "{} and {}", sent_by(&one), sent_by(&other));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_shutdown_answers_the_requests_whose_events_wait(db: PgPool) {
    let (_stripe, _relay, env) = world(&db).await;
    let mut process = Process::receive(&env).await;
    let url = process.webhook.clone().unwrap();
    // Every insert waits for this lock.
    let mut lock = db.begin().await.unwrap();
    sqlx::query("lock table inbox_events in exclusive mode").execute(&mut *lock).await.unwrap();
    let body = |number| format!(r#"{{"id":"evt_{number}"}}"#).into_bytes();
    let posts = futures_util::future::join_all((0..20).map(|number| try_post(&url, body(number))));
    let stop = async {
        let waiting = "select count(*) from pg_locks where not granted
            and database = (select oid from pg_database where datname = current_database())";
        let is_waiting =
            async || sqlx::query_scalar::<_, i64>(waiting).fetch_one(&db).await.unwrap() > 0;
        eventually(|| process.logged(), is_waiting).await;
        process.signal("-TERM");
        eventually(|| process.logged(), async || process.logged().contains("stopping: ")).await;
        lock.commit().await.unwrap();
    };
    let (answers, ()) = tokio::join!(posts, stop);
    // A connection that was not accepted yet is reset.
    let accepted = answers.iter().flatten().filter(|status| **status == 200).count();
    assert_eq!((accepted > 0, accepted), (true, answers.iter().flatten().count()), "{answers:?}");
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.logged());
    let stored: i64 =
        sqlx::query_scalar("select count(*) from inbox_events").fetch_one(&db).await.unwrap();
    assert_eq!(stored, i64::try_from(accepted).unwrap());

    // The log names each event, in a line for each batch.
    let lines = process.logged_lines("stored events");
    let ids = lines.iter().map(|line| line["event.id"].as_str().unwrap().split(' ').count());
    assert_eq!(ids.sum::<usize>(), accepted, "{lines:?}");
    assert!(lines.len() <= accepted, "{lines:?}");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_log_line_shows_an_address_or_a_secret(db: PgPool) {
    let (stripe, relay, env) = world(&db).await;
    let process = Process::serve(&env).await;
    relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 <jenny@bakery.example> is full"), 1);
    create_offers(&stripe, 2);
    for event in stripe.events() {
        post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&event).unwrap()).await;
    }
    relay.wait_for(2).await;
    let log = process.logged();
    assert!(log.contains("j***@bakery.example") && log.contains("450"), "{log}");
    for secret in ["jenny@", API_KEY, SECRET] {
        assert!(!log.contains(secret), "`{secret}` is in the log: {log}");
    }
}

/// Starts a process and sends it SIGTERM when its SMTP session for a letter reaches `step`.
async fn sigterm_at(db: &PgPool, step: Step, trouble: Trouble) -> (Process, Relay, String) {
    let (stripe, relay, env) = world(db).await;
    let process = Process::serve(&env).await;
    relay.fail(step, trouble, 1);
    let offer = create_offers(&stripe, 1).remove(0);
    post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&stripe.events()[0]).unwrap()).await;
    relay.reached(step).await;
    process.signal("-TERM");
    (process, relay, offer)
}

/// State of an offer's letter, and how many attempts are recorded.
async fn letter(db: &PgPool, offer: &str) -> (String, i32) {
    sqlx::query_as("select state, attempt from letters where offer_id = $1")
        .bind(offer)
        .fetch_one(db)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn sigterm_waits_for_a_letter_that_is_being_sent(db: PgPool) {
    let wait = Trouble::Wait(Duration::from_secs(1));
    let (mut process, relay, offer) = sigterm_at(&db, Step::Dot, wait).await;
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.logged());
    assert_eq!((letter(&db, &offer).await, relay.letters().len()), (("sent".to_owned(), 1), 1));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn sigterm_before_the_message_is_sent_requeues_the_letter(db: PgPool) {
    let wait = Trouble::Wait(Duration::from_secs(1));
    let (mut process, relay, offer) = sigterm_at(&db, Step::Data, wait).await;
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.logged());
    assert_eq!((letter(&db, &offer).await, relay.letters().len()), (("waiting".to_owned(), 0), 0));
    let (state, attempt): (String, i32) =
        sqlx::query_as("select state, attempt from jobs where kind = 'send_letter'")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(
        (state.as_str(), attempt),
        ("queued", 0),
        "the lease ended at once and no attempt was used up"
    );
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_second_sigterm_ends_the_process_immediately(db: PgPool) {
    let (stripe, relay, env) = world(&db).await;
    let mut process = Process::serve(&env).await;
    relay.fail(Step::Data, Trouble::Stall, 1);
    create_offers(&stripe, 1);
    post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&stripe.events()[0]).unwrap()).await;
    eventually(|| process.logged(), async || relay.connections() > 0).await;
    process.signal("-TERM");
    // The process waits for the letter and accepts no new connections.
    let is_stopping = || process.logged().contains("stopping: finishing");
    eventually(|| process.logged(), async || is_stopping()).await;
    process.signal("-TERM");
    assert_eq!(process.ended().await.code(), Some(143), "{}", process.logged());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn shutdown_takes_no_longer_than_its_grace_period(db: PgPool) {
    let (stripe, relay, mut env) = world(&db).await;
    env.insert("COURIER_SHUTDOWN__GRACE".to_owned(), "500ms".to_owned());
    let mut process = Process::serve(&env).await;
    relay.fail(Step::Data, Trouble::Stall, 1);
    create_offers(&stripe, 1);
    post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&stripe.events()[0]).unwrap()).await;
    eventually(|| process.logged(), async || relay.connections() > 0).await;
    process.signal("-TERM");
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.logged());
}

#[tokio::test]
async fn wrong_usage_and_wrong_settings_exit_64_and_name_every_error() {
    let run =
        async |arguments: &[&str]| command(arguments, &HashMap::new()).output().await.unwrap();
    assert_eq!(run(&["no-such-command"]).await.status.code(), Some(64));
    let output = run(&["serve"]).await;
    assert_eq!(output.status.code(), Some(64));
    let stderr = String::from_utf8(output.stderr).unwrap();
    for key in [
        "stripe.api_key",
        "webhook.secrets",
        "email.relay_url",
        "email.from",
        "email.postal_address",
        "capital.program_name",
        "capital.dashboard_url",
    ] {
        assert!(stderr.contains(key), "{key} is missing in: {stderr}");
    }
    assert_eq!(run(&["--help"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_failed_connection_names_the_database_but_not_its_password() {
    let env: HashMap<String, String> = [
        ("DATABASE_URL", "postgres://courier:hunter2@127.0.0.1:9/courier"),
        ("COURIER_DATABASE__START_TIMEOUT", "300ms"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let output = command(&["migrate"], &env).output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("127.0.0.1:9/courier") && !stderr.contains("hunter2"), "{stderr}");
}

#[sqlx::test(migrations = false)]
async fn a_startup_error_ends_serve_even_with_the_embedded_database(db: PgPool) {
    let (_stripe, _relay, mut env) = world(&db).await;
    let dir = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let used_address = listener.local_addr().unwrap().to_string();
    let missing_folder = dir.path().join("nowhere").display().to_string();
    env.remove("DATABASE_URL");
    // The embedded Postgres is unpacked into the user's cache.
    env.insert("HOME".to_owned(), std::env::var("HOME").unwrap_or_else(|_| missing_folder.clone()));
    env.insert(
        "COURIER_DATABASE__DATA_DIR".to_owned(),
        dir.path().join("data").display().to_string(),
    );
    for name in ["COURIER_HTTP__LISTEN", "COURIER_OPS__LISTEN"] {
        env.insert(name.to_owned(), "127.0.0.1:0".to_owned());
    }
    for (name, value, reason) in [
        ("COURIER_HTTP__LISTEN", &used_address, format!("cannot listen on {used_address}")),
        ("COURIER_OPS__LISTEN", &used_address, format!("cannot listen on {used_address}")),
        ("COURIER_EMAIL__TEMPLATES_DIR", &missing_folder, missing_folder.clone()),
    ] {
        let mut env = env.clone();
        env.insert(name.to_owned(), value.clone());
        let mut serve = command(&["serve"], &env);
        let output = tokio::time::timeout(Duration::from_mins(2), serve.output());
        let output = output.await.expect("serve did not end").unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {stderr}");
        assert!(stderr.contains(&reason), "{name}: {stderr}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_database_outage_delays_an_event_but_loses_none(db: PgPool) {
    let (stripe, relay, mut env) = world(&db).await;
    env.insert("COURIER_DATABASE__ACQUIRE_TIMEOUT".to_owned(), "500ms".to_owned());
    let process = Process::serve(&env).await;
    let webhook = process.webhook.clone().unwrap();
    let status = async |path: &str| {
        let url = webhook.replace("/webhooks/stripe", path);
        reqwest::get(url).await.unwrap().status().as_u16()
    };
    let offer = create_offers(&stripe, 1).remove(0);
    let event = serde_json::to_vec(&stripe.events()[0]).unwrap();

    let outage = Outage::begin(&db).await;
    assert_eq!(post(&webhook, event.clone()).await, 503);
    assert_eq!((status("/livez").await, status("/readyz").await), (200, 503));
    outage.end().await;

    let recovered = std::time::Instant::now();
    let catching_up = async {
        while post(&webhook, event.clone()).await != 200 || status("/readyz").await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let waited = recovered.elapsed().as_millis();
        println!("events are accepted {waited} ms after the database is back");
        while stripe.delivered_marks(&offer) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let caught_up = tokio::time::timeout(Duration::from_secs(10), catching_up).await;
    caught_up.expect("the offer was not delivered after the outage");
    println!("an offer is delivered after {} ms", recovered.elapsed().as_millis());
    assert_eq!(relay.letters().len(), 1);
}
