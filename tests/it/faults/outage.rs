//! Whoever we lean on is away for a while: nothing is lost, nothing is given up, nobody is hammered, and work goes on soon after.

use std::time::Duration;

use capital_courier::app::App;
use capital_courier::clock::Clock;
use capital_courier::config::{Requirement, Settings};
use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind, NewAccount, NewOffer};

use crate::support::TestApp;
use crate::support::process::{Outage, Process, post, world};
use crate::support::smtp::{Step, Trouble as SmtpTrouble};
use crate::support::wait::eventually;

const OFFERS: usize = 20;
const TEN_MINUTES: i64 = 600;

/// Offers that Stripe tells us of, of which nothing is done yet.
async fn told(app: &TestApp) -> Vec<String> {
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
    // A circuit is tried again after 30 s at most, and what was put off meanwhile is due within seconds.
    for _ in 0..12 {
        app.after(TimeDelta::seconds(3)).await;
    }
    for offer in offers {
        app.expect_delivered(offer).await;
    }
    let (most, dead): (i32, i64) =
        sqlx::query_as("select max(attempt), count(*) filter (where state = 'dead') from jobs")
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert!(most <= 3 && dead == 0, "{most} attempts, {dead} dead");
}

async fn ten_minutes_without_stripe(db: PgPool, kind: FaultKind) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let offers = told(&app).await;
    app.stripe.inject(Fault { method: "", path: "/v1/", times: u32::MAX, kind });
    ten_minutes_pass(&app).await;
    let calls = app.stripe.requests().len();
    assert!((10..60).contains(&calls), "{calls} calls in ten minutes");
    println!(
        "{calls} calls to a Stripe that was down for ten minutes, with {OFFERS} letters waiting"
    );
    app.stripe.clear_faults();
    expect_all_delivered_soon(&app, &offers).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn ten_minutes_without_stripe_cost_ten_minutes_a_few_probes_and_no_letter(db: PgPool) {
    let down = FaultKind::Error { status: 503, code: "api_error", headers: vec![] };
    ten_minutes_without_stripe(db, down).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn ten_minutes_of_a_proxys_pages_in_place_of_stripes_answers_cost_no_more(db: PgPool) {
    ten_minutes_without_stripe(db, FaultKind::ProxyPage { status: 404, headers: vec![] }).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn ten_minutes_without_the_relay_cost_a_few_probes_and_no_letter(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let offers = told(&app).await;
    app.relay.fail(Step::Connect, SmtpTrouble::Drop, u32::MAX);
    ten_minutes_pass(&app).await;
    let connections = app.relay.connections();
    assert!((10..60).contains(&connections), "{connections} connections in ten minutes");
    println!(
        "{connections} connections to a relay that was down for ten minutes, with {OFFERS} letters waiting"
    );
    app.relay.heal();
    expect_all_delivered_soon(&app, &offers).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_wrong_key_is_noticed_at_the_first_call_and_costs_no_attempt(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let offers = told(&app).await;
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
async fn a_job_that_alone_fails_is_given_up_while_the_others_go_on(db: PgPool) {
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

/// The service over a pool of its own, as `serve` opens it.
async fn open(db: &PgPool, settings: &[(&str, &str)]) -> (App, axum::Router) {
    let (_stripe, _relay, mut env) = world(db).await;
    env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let settings = Settings::load(None, &env, Requirement::WebhookSecret).unwrap();
    let app = App::open(settings, Clock::system()).await.unwrap();
    let router = app.router().unwrap();
    (app, router)
}

async fn webhook(router: &axum::Router, id: &str) -> u16 {
    let body =
        format!(r#"{{"id":"{id}","object":"event","type":"charge.succeeded"}}"#).into_bytes();
    let signature =
        stripe_simulator::sign(&body, &[crate::support::SECRET.to_owned()], Clock::system().now());
    let request = axum::http::Request::post("/webhooks/stripe")
        .header("Stripe-Signature", signature)
        .body(axum::body::Body::from(body))
        .unwrap();
    tower::ServiceExt::oneshot(router.clone(), request).await.unwrap().status().as_u16()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_connection_that_became_read_only_is_dropped_and_writing_goes_on(db: PgPool) {
    let (app, router) = open(&db, &[("COURIER_DATABASE__MAX_CONNECTIONS", "4")]).await;
    // A failover leaves live connections to a server that was demoted, while new ones reach the new primary.
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut tx = app.db().begin().await.unwrap();
        sqlx::query("set default_transaction_read_only = on").execute(&mut *tx).await.unwrap();
        held.push(tx);
    }
    for tx in held {
        tx.commit().await.unwrap();
    }
    assert_eq!(
        capital_courier::database::health(app.db()).await,
        capital_courier::database::Health::ReadOnly
    );
    assert_eq!(webhook(&router, "evt_1").await, 503);
    // One refusal is enough: no other connection from before is used again.
    for id in ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5", "evt_6"] {
        assert_eq!(webhook(&router, id).await, 200);
    }
    assert_eq!(
        capital_courier::database::health(app.db()).await,
        capital_courier::database::Health::Ready
    );
    app.close().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn while_all_connections_are_taken_stripe_is_told_to_come_again(db: PgPool) {
    let few = [
        ("COURIER_DATABASE__MAX_CONNECTIONS", "2"),
        ("COURIER_DATABASE__ACQUIRE_TIMEOUT", "300ms"),
    ];
    let (app, router) = open(&db, &few).await;
    let held = [app.db().begin().await.unwrap(), app.db().begin().await.unwrap()];
    assert_eq!(webhook(&router, "evt_1").await, 503);
    drop(held);
    assert_eq!(webhook(&router, "evt_1").await, 200);
    app.close().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_full_disk_is_told_to_stripe_each_time_and_to_the_log_once_a_second(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    let process = Process::serve(&env).await;
    let account = stripe.add_account(&NewAccount::default());
    stripe.create_offer(&account, &NewOffer::default());
    let body = serde_json::to_vec(&stripe.events()[0]).unwrap();
    for statement in [
        "create function no_room() returns trigger language plpgsql as
         $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$",
        "create trigger no_room before insert on inbox_events execute function no_room()",
    ] {
        sqlx::query(statement).execute(&db).await.unwrap();
    }
    let url = process.webhook.clone().unwrap();
    let begun = std::time::Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(post(&url, body.clone()).await, 503);
        refused += 1;
    }
    let lines = process.logged().matches("database: cannot store an event").count();
    assert!(refused > 20 && (1..=4).contains(&lines), "{lines} lines about {refused} refusals");
    sqlx::query("drop trigger no_room on inbox_events").execute(&db).await.unwrap();
    assert_eq!(post(&url, body).await, 200);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_answer_of_the_relays_is_not_lost_over_an_outage_that_is_longer_than_the_lease(
    db: PgPool,
) {
    let (stripe, relay, mut env) = world(&db).await;
    env.insert("COURIER_DATABASE__ACQUIRE_TIMEOUT".to_owned(), "500ms".to_owned());
    let process = Process::serve(&env).await;
    // The answer comes when the lease is over, and before the database is back.
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
    let (state, doubts): (String, i32) =
        sqlx::query_as("select state, uncertain_attempts from letters")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(
        (state.as_str(), doubts, relay.letters().len()),
        ("sent", 0, 1),
        "{}",
        process.logged()
    );
}

/// With the real runners, side by side, and the real clock: what `run_due_work` does one after the other cannot show how they get in
/// each other's way.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_process_asks_a_stripe_that_is_down_ever_more_seldom_and_one_at_a_time(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    let process = Process::serve(&env).await;
    let down = FaultKind::Error { status: 503, code: "api_error", headers: vec![] };
    let begun = std::time::Instant::now();
    stripe.inject(Fault { method: "", path: "/v1/", times: u32::MAX, kind: down });
    let email = Some("jenny@bakery.example".to_owned());
    let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
    for _ in 0..OFFERS {
        stripe.create_offer(&account, &NewOffer::default());
    }
    for event in stripe.events() {
        post(process.webhook.as_ref().unwrap(), serde_json::to_vec(&event).unwrap()).await;
    }
    let times_down = || process.logged().matches("the remote system is down").count();
    eventually(|| process.logged(), async || times_down() >= 4).await;
    // Probes after 1, 2 and 4 seconds; and before them eight letters that were begun at once, some with two calls.
    let (calls, took) = (stripe.requests().len(), begun.elapsed());
    assert!(took >= Duration::from_millis(6500), "three probes in {took:?}");
    assert!((5..40).contains(&calls), "{calls} calls in {took:?}\n{}", process.logged());
    stripe.clear_faults();
    let are_delivered = || stripe.offers().iter().all(|offer| offer["status"] == "delivered");
    eventually(|| process.logged(), async || are_delivered()).await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_relay_that_breaks_after_it_wanted_the_message_is_left_alone_before_the_backlog_is_in_doubt(
    db: PgPool,
) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let offers = told(&app).await;
    app.relay.fail(Step::Dot, SmtpTrouble::Drop, u32::MAX);
    for _ in 0..60 {
        app.after(TimeDelta::seconds(1)).await;
    }
    let held: i64 = app.one("select count(*) from letters where state = $1", "held").await;
    // Five that opened the circuit, and a probe each after 1, 2, 4, 8, 16 and 30 seconds.
    assert!(held <= 11, "{held} of {OFFERS} letters are in doubt");
    app.relay.heal();
    for _ in 0..20 {
        app.after(TimeDelta::seconds(3)).await;
    }
    let sent: i64 = app.one("select count(*) from letters where state = $1", "sent").await;
    assert_eq!(sent, i64::try_from(offers.len()).unwrap() - held);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn one_answer_of_stripes_that_has_changed_its_shape_keeps_no_letter_from_going_out(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let odd = app.offer();
    app.stripe.deliver(&odd);
    app.stripe.perform(Action::Apply, &odd).unwrap();
    app.stripe.edit_offer(&odd, |offer| {
        for terms in ["offered_terms", "accepted_terms"] {
            offer[terms]["currency"] = 7.into();
        }
    });
    let account = app.stripe.offer(&odd).unwrap()["account"].as_str().unwrap().parse().unwrap();
    for _ in 0..10 {
        let unanswered = app.app.financings().compare_summary(&account).await.unwrap_err();
        assert!(unanswered.to_string().contains("cannot decode"), "{unanswered}");
    }
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_begin_that_nobody_waits_for_leaves_no_transaction_open(db: PgPool) {
    use std::future::poll_fn;
    use std::task::Poll;
    // One connection, so that the next one to write gets the same.
    let options = (*db.connect_options()).clone();
    let one = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await
        .unwrap();
    let pool = capital_courier::database::Pool::from(one);
    for patience in 1..40 {
        let mut begin = Box::pin(pool.begin());
        // Given up after so many looks: somewhere between the request and its answer.
        let mut looks = 0;
        poll_fn(|context| {
            looks += 1;
            let done = begin.as_mut().poll(context).is_ready();
            if done || looks >= patience { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(begin);
        let subject = format!("after {patience} looks");
        capital_courier::queue::enqueue(&pool, "test", &subject, crate::support::day_one())
            .await
            .unwrap();
        let kept: i64 = sqlx::query_scalar("select count(*) from jobs where subject = $1")
            .bind(&subject)
            .fetch_one(&db)
            .await
            .unwrap();
        assert_eq!(kept, 1, "{subject}: seen by everybody, so committed");
    }
}
