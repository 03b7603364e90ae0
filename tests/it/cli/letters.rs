//! `letter`: lists, one email in full, and acts on one or on many.

use serde_json::Value;
use sqlx::PgPool;

use super::{run, run_err, run_ok};
use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble as SmtpTrouble};

async fn listed(app: &TestApp, arguments: &[&str]) -> Vec<Value> {
    let output = run_ok(&app.db, &[&["letter", "list", "--json"], arguments].concat()).await;
    serde_json::from_str(&output).unwrap()
}

fn offers(letters: &[Value]) -> Vec<&str> {
    letters.iter().map(|letter| letter["offer_id"].as_str().unwrap()).collect()
}

/// Two offers whose letters gave up, and one whose letter was sent.
async fn held_and_sent(db: PgPool) -> (TestApp, [String; 3]) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "1")]).await;
    let offers = [app.offer(), app.offer(), app.offer()];
    for offer in &offers[..2] {
        app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
        app.announce(offer).await;
        app.expect_letter(offer, "held", Some("gave_up")).await;
    }
    app.announce(&offers[2]).await;
    app.expect_delivered(&offers[2]).await;
    // The second in another market than the first.
    sqlx::query(
        "update financing_offers set disclaimer_variant = case offer_id
             when $1 then 'celtic_us_loan' when $2 then 'youlend_de_financing' end",
    )
    .bind(&offers[0])
    .bind(&offers[1])
    .execute(&app.db)
    .await
    .unwrap();
    (app, offers)
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn letters_are_listed_by_state_reason_and_market_in_pages(db: PgPool) {
    let (app, [us, de, sent]) = held_and_sent(db).await;
    let all = listed(&app, &[]).await;
    assert_eq!(offers(&all), [&sent, &de, &us], "the newest first");
    assert_eq!(offers(&listed(&app, &["--state", "held"]).await), [&de, &us]);
    assert_eq!(offers(&listed(&app, &["--state", "sent"]).await), [&sent]);
    assert_eq!(offers(&listed(&app, &["--reason", "gave_up"]).await), [&de, &us]);
    assert_eq!(offers(&listed(&app, &["--market", "de"]).await), [&de]);
    assert_eq!(offers(&listed(&app, &["--state", "held", "--market", "GB"]).await), [""; 0]);
    let first = listed(&app, &["--limit", "2"]).await;
    let last = first[1]["letter_id"].as_str().unwrap();
    assert_eq!(offers(&listed(&app, &["--before", last]).await), [&us]);
    let table = run_ok(&app.db, &["letter", "list", "--state", "held"]).await;
    assert!(table.contains("held (gave_up)") && table.lines().count() == 2, "{table}");
    assert_eq!(run(&app.db, &["letter", "list", "--state", "lost"]).await.status.code(), Some(64));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_is_shown_with_its_text_and_evidence_and_a_masked_recipient(db: PgPool) {
    let (app, [us, _, sent]) = held_and_sent(db).await;
    let id: String = app.one("select letter_id from letters where offer_id = $1", &sent).await;
    let shown = run_ok(&app.db, &["letter", "show", &id]).await;
    for part in ["j***@bakery.example", "$1,000.00", "SHA-256", "250", "opt-outs and suppressed"] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    assert!(!shown.contains("jenny@"), "{shown}");
    let shown = run_ok(&app.db, &["letter", "show", &id, "--addresses"]).await;
    assert!(shown.contains("jenny@bakery.example"), "{shown}");
    let json: Value =
        serde_json::from_str(&run_ok(&app.db, &["letter", "show", &id, "--json"]).await).unwrap();
    assert_eq!(
        (&json["attempts"][0]["outcome"], &json["attempts"][0]["recipient"]),
        (&"sent".into(), &"j***@bakery.example".into())
    );
    let held: String = app.one("select letter_id from letters where offer_id = $1", &us).await;
    let shown = run_ok(&app.db, &["letter", "show", &held]).await;
    assert!(shown.contains("`job list`") && shown.contains("not written yet"), "{shown}");
    assert!(run_err(&app.db, &["letter", "show", "letter_unknown"]).await.contains("not found"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn held_letters_are_released_one_or_all_after_a_confirmation(db: PgPool) {
    let (app, [us, de, sent]) = held_and_sent(db).await;
    let sent_id: String = app.one("select letter_id from letters where offer_id = $1", &sent).await;
    let refused = run_err(&app.db, &["letter", "release", &sent_id]).await;
    assert!(refused.contains("is sent, not held"), "{refused}");
    let all = ["letter", "release", "--reason", "gave_up"];
    let unconfirmed = run_err(&app.db, &all).await;
    assert!(unconfirmed.contains("2 emails match: confirm with --yes"), "{unconfirmed}");
    assert_eq!(run(&app.db, &["letter", "release"]).await.status.code(), Some(64));
    let released: Value = serde_json::from_str(
        &run_ok(
            &app.db,
            &[&all[..], &["--market", "US", "--yes", "--why", "the relay is back", "--json"]]
                .concat(),
        )
        .await,
    )
    .unwrap();
    assert_eq!((&released["letters"], &released["outcome"]), (&1.into(), &"queued".into()));
    let de_id: String = app.one("select letter_id from letters where offer_id = $1", &de).await;
    let output = run_ok(&app.db, &["letter", "release", &de_id]).await;
    assert!(output.contains("no worker is running"), "{output}");
    app.make_jobs_due().await;
    app.run_due_work().await;
    for offer in [&us, &de] {
        app.expect_delivered(offer).await;
    }
    let logged: Vec<(String, Option<String>)> = sqlx::query_as(
        "select action, reason from operator_actions where account_id is not null order by action_id",
    )
    .fetch_all(&app.db)
    .await
    .unwrap();
    let release = "letter.release".to_owned();
    assert_eq!(logged, [(release.clone(), Some("the relay is back".to_owned())), (release, None)]);
    assert!(run_err(&app.db, &all).await.contains("no held email matches"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn held_letters_are_withdrawn_one_or_all(db: PgPool) {
    let (app, [us, de, sent]) = held_and_sent(db).await;
    let id: String = app.one("select letter_id from letters where offer_id = $1", &us).await;
    run_ok(&app.db, &["letter", "withdraw", &id, "--why", "told by phone"]).await;
    app.expect_letter(&us, "withdrawn", Some("operator")).await;
    assert!(run_err(&app.db, &["letter", "withdraw", &id]).await.contains("is withdrawn"));
    run_ok(&app.db, &["letter", "withdraw", "--market", "DE", "--yes"]).await;
    app.expect_letter(&de, "withdrawn", Some("operator")).await;
    app.expect_letter(&sent, "sent", None).await;
    app.finish().await;
}
