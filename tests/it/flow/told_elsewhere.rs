//! Offers that the platform told the merchant of by a channel of its own.

use capital_courier::web::api::Scope;
use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::Action;

use crate::cli::run_ok;
use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};
use crate::web::api::{Answer, call, key};

async fn report(app: &TestApp, offer: &str, body: &Value) -> Answer {
    let account = app.stripe.offer(offer).unwrap()["account"].as_str().unwrap().to_owned();
    let key = key(app, &[Scope::OffersWrite]).await;
    let path = format!("/api/v1/accounts/{account}/offers/{offer}/delivered");
    call(app, &key, "POST", &path, &body.to_string()).await
}

fn dashboard(app: &TestApp) -> Value {
    json!({"channel": "dashboard", "when": app.clock.now(), "reference": "banner 7"})
}

async fn reports(app: &TestApp, offer: &str) -> i64 {
    app.one("select count(*) from delivery_reports where offer_id = $1", offer).await
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_waiting_letter_is_withdrawn_and_stripe_is_told(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&offer, "waiting", None).await;

    let told = dashboard(&app);
    let answer = report(&app, &offer, &told).await.expect(200);
    assert_eq!(answer, json!({"state": "pending", "delivered_at": null}));
    app.run_due_work().await;
    app.expect_letter(&offer, "withdrawn", Some("told_elsewhere")).await;
    assert_eq!((app.stripe.delivered_marks(&offer), app.relay.letters().len()), (1, 0));

    let again = report(&app, &offer, &told).await.expect(200);
    assert_eq!(again["state"], "delivered");
    app.run_due_work().await;
    assert_eq!((app.stripe.delivered_marks(&offer), reports(&app, &offer).await), (1, 1));
    let timeline = app.timeline(&offer).await;
    assert_eq!(timeline.iter().filter(|kind| *kind == "offer.told").count(), 1, "{timeline:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn reports_are_listed_as_csv_and_lose_their_reference_when_erased(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let account = app.account_of(&offer);
    let when = "2026-11-24T00:00:00Z";
    let body = json!({"channel": "push", "when": when, "reference": "=jenny@bakery.example"});
    report(&app, &offer, &body).await.expect(200);
    let csv = async |to: &str| {
        let period = ["report", "told-elsewhere", "--from", "2026-11-24", "--to", to];
        run_ok(&app.db, &[&period[..], &["--account", &account]].concat()).await
    };
    let lines = csv("2026-11-24").await;
    let row = lines.lines().nth(1).unwrap();
    // No cell begins like a formula.
    let expected = format!("{offer},{account},push,{when},'=jenny@bakery.example,");
    assert!(row.starts_with(&expected), "{lines}");
    assert_eq!(lines.lines().count(), 2);

    run_ok(&app.db, &["account", "erase", &account, "--yes", "--reason", "x"]).await;
    assert_eq!(csv("2026-11-24").await, lines);
    run_ok(&app.db, &["account", "erase", &account, "--yes", "--with-proof", "--reason", "x"])
        .await;
    let erased = csv("2026-11-25").await;
    assert!(erased.contains(&format!("{offer},{account},push,{when},,")), "{erased}");
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_retried_report_without_a_time_is_one_report(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let body = json!({"channel": "push", "reference": "msg_1"});
    for _ in 0..2 {
        report(&app, &offer, &body).await.expect(200);
        app.clock.advance(chrono::TimeDelta::seconds(2));
    }
    assert_eq!(reports(&app, &offer).await, 1);
    report(&app, &offer, &json!({"channel": "push", "reference": "msg_2"})).await.expect(200);
    assert_eq!(reports(&app, &offer).await, 2);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_whose_event_is_late_is_found_at_stripe(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    report(&app, &offer, &dashboard(&app)).await.expect(200);
    app.run_due_work().await;
    assert_eq!((app.stripe.delivered_marks(&offer), app.relay.letters().len()), (1, 0));
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    assert_eq!(app.relay.letters().len(), 0, "the event of a delivered offer opens no letter");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_report_after_the_letter_is_evidence_and_marks_nothing_twice(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    let answer = report(&app, &offer, &dashboard(&app)).await.expect(200);
    assert_eq!(answer["state"], "delivered");
    app.run_due_work().await;
    assert_eq!((app.stripe.delivered_marks(&offer), reports(&app, &offer).await), (1, 1));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_report_that_cannot_be_is_refused_and_leaves_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    for body in [
        json!({}),
        json!({"channel": ""}),
        json!({"channel": "x".repeat(51)}),
        json!({"channel": "a\u{202e}b"}),
        json!({"channel": "dashboard", "reference": " "}),
        json!({"channel": "dashboard", "when": "yesterday"}),
        json!({"channel": "dashboard", "when": "2100-01-01T00:00:00Z"}),
        json!({"channel": "dashboard", "when": "1999-01-01T00:00:00Z"}),
        json!({"channel": "dashboard", "seen": true}),
    ] {
        report(&app, &offer, &body).await.expect_refused(400, "malformed_body");
    }
    app.stripe.perform(Action::Expire, &offer).unwrap();
    app.stripe_sends(&app.event(&offer, "capital.financing_offer.expired")).await.expect_kept();
    app.run_due_work().await;
    report(&app, &offer, &dashboard(&app)).await.expect_refused(409, "offer_ended");
    let key = key(&app, &[Scope::OffersWrite]).await;
    let body = dashboard(&app).to_string();
    for path in ["acct_other/offers/financingoffer_unknown", &format!("acct_other/offers/{offer}")]
    {
        let path = format!("/api/v1/accounts/{path}/delivered");
        call(&app, &key, "POST", &path, &body).await.expect_refused(404, "not_found");
    }
    assert_eq!(reports(&app, &offer).await, 0);
    app.finish().await;
}
