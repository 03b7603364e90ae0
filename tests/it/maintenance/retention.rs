//! Retention and erasure: personal data is erased, evidence is kept, and events stay known.

use std::process::Output;

use capital_courier::consent::contact_overrides::{self, NewContactOverride};
use capital_courier::flow::inbox;
use capital_courier::maintenance::retention::{Erased, erase_account};
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use crate::support::smtp::{Step, Trouble};
use crate::support::{TestApp, process};

/// Whether a letter or an event holds personal data.
async fn has_personal_data(app: &TestApp) -> bool {
    sqlx::query_scalar(
        "select exists (select from letters
                        where recipient is not null or body_text is not null
                           or subject is not null or relay_reply is not null)
             or exists (select from inbox_bodies)",
    )
    .fetch_one(&app.db)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_a_year_personal_data_is_erased_and_evidence_is_kept(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let created = app.created(&offer);
    app.announce(&offer).await;
    app.clock.advance(TimeDelta::days(364));
    assert!(app.app.erase_now().await.unwrap());
    assert!(has_personal_data(&app).await);
    app.clock.advance(TimeDelta::days(2));
    assert!(app.app.erase_now().await.unwrap());
    assert!(!has_personal_data(&app).await);
    app.expect_letter(&offer, "sent", None).await;
    let (recipient, bytes): (String, i32) =
        sqlx::query_as("select recipient, octet_length(message) from delivery_attempts")
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert!(recipient == "jenny@bakery.example" && bytes > 10_000, "{recipient}, {bytes}");
    // The event is still known, so a repeated delivery makes no second letter.
    app.stripe_sends(&created).await.expect_kept();
    app.run_due_work().await;
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn waiting_letters_and_unreadable_events_are_not_erased(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::Drop, 1);
    app.announce(&offer).await;
    let mut unreadable = app.created(&offer);
    unreadable["id"] = "evt_unreadable".into();
    unreadable["data"]["object"] = serde_json::json!({"id": 7});
    app.stripe_sends(&unreadable).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    app.clock.advance(TimeDelta::days(400));
    assert!(app.app.erase_now().await.unwrap());
    let waiting: i64 = app
        .one("select count(*) from letters where body_text is not null and state = $1", "waiting")
        .await;
    let bodies: i64 =
        app.one("select count(*) from inbox_bodies where event_id = $1", "evt_unreadable").await;
    assert_eq!((waiting, bodies), (1, 1));
    app.run_due_work().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_a_retention_limit_nothing_is_erased(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_RETENTION__PERSONAL_DATA", "")]).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.clock.advance(TimeDelta::days(4000));
    assert!(app.app.erase_now().await.unwrap());
    assert!(has_personal_data(&app).await);
    app.finish().await;
}

/// The kinds of the jobs that are done.
async fn done_jobs(app: &TestApp) -> Vec<String> {
    sqlx::query_scalar("select distinct kind from jobs where state = 'done' order by kind")
        .fetch_all(&app.db)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn events_of_an_offer_whose_jobs_have_left_do_nothing_again(db: PgPool) {
    // Jobs leave whether or not personal data does.
    let app = TestApp::start_with(db, &[("COURIER_RETENTION__PERSONAL_DATA", "")]).await;
    let offer = app.offer();
    let mut created = app.created(&offer);
    app.announce(&offer).await;
    app.after(TimeDelta::days(6)).await;
    assert!(app.app.erase_now().await.unwrap());
    assert!(done_jobs(&app).await.contains(&"send_letter".to_owned()), "recent jobs stay");
    app.after(TimeDelta::days(2)).await;
    assert!(app.app.erase_now().await.unwrap());
    assert_eq!(done_jobs(&app).await, [""; 0]);
    let calls = app.stripe.requests().len();

    app.stripe_sends(&created).await.expect_kept();
    let event = app.event_id(&offer).await;
    assert!(inbox::store::replay(&app.db, &event).await.unwrap());
    app.run_due_work().await;
    created["id"] = "evt_again".into();
    app.stripe_sends(&created).await.expect_kept();
    app.run_due_work().await;

    assert_eq!(app.event_state(&event).await.0, "read");
    app.expect_delivered(&offer).await;
    assert_eq!((app.relay.letters().len(), app.stripe.requests().len()), (1, calls));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_whose_job_has_left_can_be_released(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    app.expect_letter(&offer, "held", Some("no_recipient")).await;
    app.clock.advance(TimeDelta::days(8));
    assert!(app.app.erase_now().await.unwrap());
    assert_eq!(done_jobs(&app).await, [""; 0]);
    let mut tx = app.db.begin().await.unwrap();
    let contact = NewContactOverride {
        account_id: &app.account_of(&offer),
        address: &"jenny@bakery.example".parse().unwrap(),
        updated_by: "kim",
    };
    contact_overrides::set(&mut tx, &contact, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn erasing_an_account_withdraws_its_letters_and_keeps_evidence_hashes(db: PgPool) {
    let app = TestApp::start(db).await;
    let (sent, other) = (app.offer(), app.offer_to(Some("mo@garage.example")));
    app.announce(&sent).await;
    app.announce(&other).await;
    let account = app.account_of(&sent);
    let waiting = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    app.announce(&waiting).await;
    app.opts_out("acct_unrelated").await;

    let erase = async |with_evidence| {
        let mut tx = app.db.begin().await.unwrap();
        let erased =
            erase_account(&mut tx, &account, with_evidence, app.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        erased
    };
    assert_eq!(
        erase(false).await,
        Erased { letters: 2, events: 2, contacts: 0, evidence: 0, sessions: 0, skipped: 0 }
    );
    app.expect_letter(&waiting, "withdrawn", Some("erased")).await;
    app.expect_letter(&sent, "sent", None).await;
    let hash: Vec<u8> = app
        .one("select message_sha256 from delivery_attempts where account_id = $1", &account)
        .await;
    assert_eq!(
        erase(true).await,
        Erased { letters: 0, events: 0, contacts: 0, evidence: 1, sessions: 0, skipped: 0 }
    );
    assert_eq!(erase(true).await, Erased::default());
    let (recipient, kept): (String, Vec<u8>) = sqlx::query_as(
        "select recipient, message_sha256 from delivery_attempts where account_id = $1",
    )
    .bind(&account)
    .fetch_one(&app.db)
    .await
    .unwrap();
    assert_eq!(kept, hash);
    let address_hash = hex::encode(Sha256::digest("jenny@bakery.example"));
    assert_eq!(recipient, format!("sha256:{address_hash}"));
    let others: String = app.one("select recipient from letters where offer_id = $1", &other).await;
    assert_eq!(others, "mo@garage.example", "the other account keeps its data");
    app.after(TimeDelta::hours(1)).await;
    assert_eq!(app.relay.letters().len(), 2);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_erasure_skips_and_counts_a_letter_being_sent(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    let account = app.account_of(&offer);
    let erase = async || {
        let mut tx = app.db.begin().await.unwrap();
        let erased = erase_account(&mut tx, &account, false, app.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        (erased.letters, erased.skipped)
    };
    // `sending` is the state until the relay replies.
    let set_state = async |state: &str| {
        sqlx::query(
            "update letters set state = $1, sent_at = case when $1 = 'sent' then created_at end",
        )
        .bind(state)
        .execute(&app.db)
        .await
        .unwrap();
    };
    set_state("sending").await;
    assert_eq!(erase().await, (0, 1));
    set_state("sent").await;
    assert_eq!(erase().await, (1, 0));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn account_erase_requires_confirmation(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    let account = app.account_of(&offer);
    let env = [("DATABASE_URL".to_owned(), process::url_of(&app.db))].into();
    let run = async |arguments: &[&str]| process::command(arguments, &env).output().await.unwrap();
    let stderr = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let unconfirmed = run(&["account", "erase", &account, "--reason", "x"]).await;
    assert_eq!(unconfirmed.status.code(), Some(1), "{}", stderr(&unconfirmed));
    assert!(has_personal_data(&app).await);
    let confirmed = run(&["account", "erase", &account, "--yes", "--json", "--reason", "x"]).await;
    let erased: serde_json::Value = serde_json::from_slice(&confirmed.stdout).unwrap();
    assert_eq!(
        erased,
        serde_json::json!({
            "account_id": account, "outcome": "erased", "messages_kept": 1,
            "letters": 1, "events": 1, "contacts": 0, "proofs": 0, "visits": 0, "left": 0,
        })
    );
    assert!(!has_personal_data(&app).await);
    // An erased event cannot be replayed.
    let event: String = app.one("select event_id from inbox_events where state = $1", "read").await;
    let replayed = run(&["event", "replay", &event]).await;
    assert_eq!(replayed.status.code(), Some(1), "{}", stderr(&replayed));
    app.finish().await;
}
