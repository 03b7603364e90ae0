//! Outages of Stripe, the relay and Postgres: no work is lost or given up, there are few probes,
//! and work resumes soon after.

use std::time::Duration;

use capital_courier::app::App;
use capital_courier::clock::Clock;
use capital_courier::config::{Requirement, Settings};
use capital_courier::{database, queue};
use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind, NewAccount, NewOffer};

use crate::support::expect_letters::{letter_state, uncertain_attempts};
use crate::support::process::{Outage, Process, post, world};
use crate::support::smtp::{Step, Trouble as SmtpTrouble};
use crate::support::wait::eventually;
use crate::support::{SECRET, TestApp, day_one};

const OFFERS: usize = 20;
const TEN_MINUTES: i64 = 600;

/// Offers whose events are read, with their letters waiting.
async fn offers_with_waiting_letters(app: &TestApp) -> Vec<String> {
    let offers: Vec<String> = (0..OFFERS).map(|_| app.offer()).collect();
    for offer in &offers {
        app.stripe_sends(&app.created(offer)).await.expect_kept();
    }
    app.app.read_inbox().await.unwrap();
    offers
}

async fn ten_minutes_pass(app: &TestApp) {
    for _ in 0..TEN_MINUTES / 2 {
        app.after(TimeDelta::seconds(2)).await;
    }
}

async fn expect_all_delivered_soon(app: &TestApp, offers: &[String]) {
    // A circuit is probed at least every 30 s; jobs that were postponed are due within seconds.
    for _ in 0..12 {
        app.after(TimeDelta::seconds(3)).await;
    }
    for offer in offers {
        app.expect_delivered(offer).await;
    }
    let (max_attempt, dead): (i32, i64) =
        sqlx::query_as("select max(attempt), count(*) filter (where state = 'dead') from jobs")
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert!(max_attempt <= 3 && dead == 0, "{max_attempt} attempts, {dead} dead jobs");
}

async fn ten_minutes_without_stripe(db: PgPool, kind: FaultKind) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let offers = offers_with_waiting_letters(&app).await;
    app.stripe.inject(Fault { method: "", path: "/v1/", times: u32::MAX, kind });
    ten_minutes_pass(&app).await;
    let calls = app.stripe.requests().len();
    assert!((10..60).contains(&calls), "{calls} calls in ten minutes");
    println!("Stripe down for ten minutes: {calls} calls with {OFFERS} letters waiting");
    app.stripe.clear_faults();
    expect_all_delivered_soon(&app, &offers).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn ten_minutes_without_stripe_cost_few_calls_and_no_letter(db: PgPool) {
    let down = FaultKind::Error { status: 503, code: "api_error", headers: vec![] };
    Box::pin(ten_minutes_without_stripe(db, down)).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn ten_minutes_of_proxy_pages_cost_few_calls_and_no_letter(db: PgPool) {
    let page = FaultKind::ProxyPage { status: 404, headers: vec![] };
    Box::pin(ten_minutes_without_stripe(db, page)).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn ten_minutes_without_the_relay_cost_few_connections_and_no_letter(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let offers = offers_with_waiting_letters(&app).await;
    app.relay.fail(Step::Connect, SmtpTrouble::Drop, u32::MAX);
    ten_minutes_pass(&app).await;
    let connections = app.relay.connections();
    assert!((10..60).contains(&connections), "{connections} connections in ten minutes");
    println!("relay down for ten minutes: {connections} connections, {OFFERS} letters waiting");
    app.relay.heal();
    expect_all_delivered_soon(&app, &offers).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_wrong_key_opens_the_circuit_at_the_first_call(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let offers = offers_with_waiting_letters(&app).await;
    let wrong = FaultKind::Error { status: 401, code: "api_key_expired", headers: vec![] };
    app.stripe.inject(Fault { method: "", path: "/v1/", times: u32::MAX, kind: wrong });
    app.run_due_work().await;
    assert_eq!(app.stripe.requests().len(), 1);
    for _ in 0..120 {
        app.after(TimeDelta::minutes(1)).await;
    }
    app.stripe.clear_faults();
    app.after(TimeDelta::minutes(6)).await;
    expect_all_delivered_soon(&app, &offers).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_job_that_fails_alone_is_given_up_without_blocking_others(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "4")]).await;
    let poison = app.offer();
    let path: &'static str = Box::leak(format!("financing_offers/{poison}").into_boxed_str());
    let broken = FaultKind::Error { status: 500, code: "api_error", headers: vec![] };
    app.stripe.inject(Fault { method: "GET", path, times: u32::MAX, kind: broken });
    app.stripe_sends(&app.created(&poison)).await.expect_kept();
    for _ in 0..10 {
        let offer = app.offer();
        app.stripe_sends(&app.created(&offer)).await.expect_kept();
        app.after(TimeDelta::minutes(1)).await;
        app.expect_delivered(&offer).await;
    }
    app.expect_letter(&poison, "held", Some("gave_up")).await;
    app.finish().await;
}

/// The service with its own connection pool, as `serve` opens it.
async fn open(db: &PgPool, settings: &[(&str, &str)]) -> (App, axum::Router) {
    let (_stripe, _relay, mut env) = world(db).await;
    env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let settings = Settings::load(None, &env, Requirement::WebhookSecret).unwrap();
    let app = App::open(settings, Clock::system()).await.unwrap();
    let router = app.router().unwrap();
    (app, router)
}

/// Posts a signed event and returns the status.
async fn post_event(router: &axum::Router, id: &str) -> u16 {
    let body =
        format!(r#"{{"id":"{id}","object":"event","type":"charge.succeeded"}}"#).into_bytes();
    let signature = stripe_simulator::sign(&body, &[SECRET.to_owned()], Clock::system().now());
    let request = axum::http::Request::post("/webhooks/stripe")
        .header("Stripe-Signature", signature)
        .body(axum::body::Body::from(body))
        .unwrap();
    tower::ServiceExt::oneshot(router.clone(), request).await.unwrap().status().as_u16()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_connection_that_became_read_only_is_replaced(db: PgPool) {
    let (app, router) = open(&db, &[("COURIER_DATABASE__MAX_CONNECTIONS", "4")]).await;
    // After a failover, old connections lead to the demoted server and new ones to the primary.
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut tx = app.db().begin().await.unwrap();
        sqlx::query("set default_transaction_read_only = on").execute(&mut *tx).await.unwrap();
        held.push(tx);
    }
    for tx in held {
        tx.commit().await.unwrap();
    }
    assert_eq!(database::health(app.db()).await, database::Health::ReadOnly);
    assert_eq!(post_event(&router, "evt_1").await, 503);
    // The first error invalidates every connection opened before it.
    for id in ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5", "evt_6"] {
        assert_eq!(post_event(&router, id).await, 200);
    }
    assert_eq!(database::health(app.db()).await, database::Health::Ready);
    app.close().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_exhausted_pool_answers_503_until_a_connection_is_free(db: PgPool) {
    let settings = [
        ("COURIER_DATABASE__MAX_CONNECTIONS", "2"),
        ("COURIER_DATABASE__ACQUIRE_TIMEOUT", "300ms"),
    ];
    let (app, router) = open(&db, &settings).await;
    let held = [app.db().begin().await.unwrap(), app.db().begin().await.unwrap()];
    assert_eq!(post_event(&router, "evt_1").await, 503);
    drop(held);
    assert_eq!(post_event(&router, "evt_1").await, 200);
    app.close().await;
}

#[sqlx::test(migrations = false)]
async fn an_error_of_postgres_is_its_message_alone(db: PgPool) {
    let error = sqlx::query("select 1 / 0").execute(&db).await.unwrap_err();
    assert_eq!(capital_courier::telemetry::chain(&error), "division by zero");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_full_disk_answers_503_and_is_logged_once_a_second(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    let process = Process::serve(&env).await;
    let account = stripe.add_account(&NewAccount::default());
    stripe.create_offer(&account, &NewOffer::default());
    let body = serde_json::to_vec(&stripe.events()[0]).unwrap();
    for statement in [
        "create function raise_disk_full() returns trigger language plpgsql as
         $$ begin
             raise exception 'could not extend file: No space left on device'
                 using errcode = '53100';
         end $$",
        "create trigger disk_full before insert on inbox_events
         execute function raise_disk_full()",
    ] {
        sqlx::query(statement).execute(&db).await.unwrap();
    }
    let url = process.webhook.clone().unwrap();
    let started = std::time::Instant::now();
    let mut refused = 0;
    while started.elapsed() < Duration::from_secs(3) {
        assert_eq!(post(&url, body.clone()).await, 503);
        refused += 1;
    }
    let lines = process.logged().matches("database: cannot store events").count();
    assert!(
        refused > 20 && (1..=4).contains(&lines),
        "{lines} log lines for {refused} refused requests"
    );
    sqlx::query("drop trigger disk_full on inbox_events").execute(&db).await.unwrap();
    assert_eq!(post(&url, body).await, 200);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_relay_reply_survives_a_database_outage_longer_than_the_lease(db: PgPool) {
    let (stripe, relay, mut env) = world(&db).await;
    env.insert("COURIER_DATABASE__ACQUIRE_TIMEOUT".to_owned(), "500ms".to_owned());
    let process = Process::serve(&env).await;
    // The reply comes after the lease has expired and before the database is back.
    relay.fail(Step::Dot, SmtpTrouble::Wait(Duration::from_secs(5)), 1);
    let email = Some("jenny@bakery.example".to_owned());
    let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
    let offer = stripe.create_offer(&account, &NewOffer::default());
    let event = serde_json::to_vec(&stripe.events()[0]).unwrap();
    assert_eq!(post(process.webhook.as_ref().unwrap(), event).await, 200);
    relay.reached(Step::Dot).await;
    let outage = Outage::begin(&db).await;
    // The relay replies after five seconds: the lease of three seconds has expired by then.
    eventually(|| process.logged(), async || relay.late_replies() == 1).await;
    outage.end().await;
    eventually(|| process.logged(), async || stripe.delivered_marks(&offer) == 1).await;
    let state = letter_state(&db, &offer).await;
    assert_eq!(state.as_deref(), Some("sent"), "{}", process.logged());
    assert_eq!((uncertain_attempts(&db, &offer).await, relay.letters().len()), (0, 1));
}

/// Runs a real process with the system's clock: `run_due_work` runs jobs in sequence, so it cannot
/// show how concurrent jobs share the circuit.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_process_probes_an_unavailable_stripe_with_growing_pauses(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    let process = Process::serve(&env).await;
    let down = FaultKind::Error { status: 503, code: "api_error", headers: vec![] };
    let started = std::time::Instant::now();
    stripe.inject(Fault { method: "", path: "/v1/", times: u32::MAX, kind: down });
    let email = Some("jenny@bakery.example".to_owned());
    let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
    for _ in 0..OFFERS {
        stripe.create_offer(&account, &NewOffer::default());
    }
    for event in stripe.events() {
        post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&event).unwrap()).await;
    }
    let times_down = || process.logged().matches("stripe is unavailable: pausing").count();
    eventually(|| process.logged(), async || times_down() >= 4).await;
    // Eight letters start at once, some with two calls; then there are probes after 1, 2 and 4 s.
    let (calls, took) = (stripe.requests().len(), started.elapsed());
    assert!(took >= Duration::from_millis(6500), "three probes in {took:?}");
    assert!((5..40).contains(&calls), "{calls} calls in {took:?}\n{}", process.logged());
    stripe.clear_faults();
    let all_delivered = || stripe.offers().iter().all(|offer| offer["status"] == "delivered");
    eventually(|| process.logged(), async || all_delivered()).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_relays_circuit_opens_before_the_backlog_becomes_uncertain(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let offers = offers_with_waiting_letters(&app).await;
    app.relay.fail(Step::Dot, SmtpTrouble::Drop, u32::MAX);
    for _ in 0..60 {
        app.after(TimeDelta::seconds(1)).await;
    }
    let held = app.letters_in_state("held").await;
    // Five letters open the circuit; one probe follows after each of 1, 2, 4, 8, 16 and 30 s.
    assert!(held <= 11, "{held} of {OFFERS} letters are uncertain");
    app.relay.heal();
    for _ in 0..20 {
        app.after(TimeDelta::seconds(3)).await;
    }
    let sent = app.letters_in_state("sent").await;
    assert_eq!(sent, i64::try_from(offers.len()).unwrap() - held);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_undecodable_stripe_response_does_not_block_letters(db: PgPool) {
    let app = TestApp::start(db).await;
    let undecodable = app.offer();
    app.stripe.deliver(&undecodable);
    app.stripe.perform(Action::Apply, &undecodable).unwrap();
    app.stripe.edit_offer(&undecodable, |offer| {
        for terms in ["offered_terms", "accepted_terms"] {
            offer[terms]["currency"] = 7.into();
        }
    });
    let account = app.account_of(&undecodable).parse().unwrap();
    for _ in 0..10 {
        let error = app.app.financings().compare_summary(&account).await.unwrap_err();
        assert!(error.to_string().contains("cannot decode"), "{error}");
    }
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_cancelled_begin_leaves_no_transaction_open(db: PgPool) {
    use std::future::poll_fn;
    use std::task::Poll;
    // One connection: the next write uses the one that the cancelled `begin` left.
    let options = (*db.connect_options()).clone();
    let one = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await
        .unwrap();
    let pool = database::Pool::from(one);
    for max_polls in 1..40 {
        let mut begin = Box::pin(pool.begin());
        // Dropping the future after this many polls cancels it at a different point each time.
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            let done = begin.as_mut().poll(context).is_ready();
            if done || polls >= max_polls { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(begin);
        let subject = format!("after {max_polls} polls");
        queue::enqueue(&pool, "test", &subject, day_one()).await.unwrap();
        let visible: i64 = sqlx::query_scalar("select count(*) from jobs where subject = $1")
            .bind(&subject)
            .fetch_one(&db)
            .await
            .unwrap();
        assert_eq!(visible, 1, "{subject}: another connection does not see the job");
    }
}
