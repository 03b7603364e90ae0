//! Personal data go, proof and memory stay.

use capital_courier::maintenance::retention::{Erased, erase_account};
use chrono::TimeDelta;
use sqlx::PgPool;

use crate::support::smtp::{Step, Trouble};
use crate::support::{TestApp, process};

async fn deliver(app: &TestApp, offer: &str) {
    app.stripe_sends(&app.created(offer)).await.expect_kept();
    app.run_due_work().await;
}

async fn account_of(app: &TestApp, offer: &str) -> String {
    app.one("select account_id from financing_offers where offer_id = $1", offer).await
}

/// Whether anything in the letters and the events names the merchant.
async fn is_named(app: &TestApp) -> bool {
    sqlx::query_scalar(
        "select exists (select from letters where recipient is not null or body_text is not null or subject is not null
                                or relay_reply is not null)
             or exists (select from inbox_bodies)",
    )
    .fetch_one(&app.db)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_a_year_words_and_addresses_are_gone_and_the_proof_is_not(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let created = app.created(&offer);
    deliver(&app, &offer).await;
    app.clock.advance(TimeDelta::days(364));
    assert!(app.app.erase_now().await.unwrap());
    assert!(is_named(&app).await);
    app.clock.advance(TimeDelta::days(2));
    assert!(app.app.erase_now().await.unwrap());
    assert!(!is_named(&app).await);
    app.expect_letter(&offer, "sent", None).await;
    let (recipient, bytes): (String, i32) =
        sqlx::query_as("select recipient, octet_length(message) from delivery_attempts")
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert!(recipient == "jenny@bakery.example" && bytes > 10_000, "{recipient}, {bytes}");
    // The event is still known, and makes no second letter.
    app.stripe_sends(&created).await.expect_kept();
    app.run_due_work().await;
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_may_be_sent_yet_and_what_nobody_could_read_stays(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::Drop, 1);
    deliver(&app, &offer).await;
    let mut odd = app.created(&offer);
    odd["id"] = "evt_odd".into();
    odd["data"]["object"] = serde_json::json!({"id": 7});
    app.stripe_sends(&odd).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    app.clock.advance(TimeDelta::days(400));
    assert!(app.app.erase_now().await.unwrap());
    let words: i64 = app
        .one("select count(*) from letters where body_text is not null and state = $1", "waiting")
        .await;
    let bodies: i64 =
        app.one("select count(*) from inbox_bodies where event_id = $1", "evt_odd").await;
    assert_eq!((words, bodies), (1, 1));
    app.run_due_work().await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_a_limit_everything_stays(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_RETENTION__PERSONAL_DATA", "")]).await;
    let offer = app.offer();
    deliver(&app, &offer).await;
    app.clock.advance(TimeDelta::days(4000));
    assert!(app.app.erase_now().await.unwrap());
    assert!(is_named(&app).await);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_account_is_erased_with_its_waiting_letters_and_the_proof_keeps_hashes(db: PgPool) {
    let app = TestApp::start(db).await;
    let (sent, other) = (app.offer(), app.offer_to(Some("mo@garage.example")));
    deliver(&app, &sent).await;
    deliver(&app, &other).await;
    let account = account_of(&app, &sent).await;
    let waiting = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    deliver(&app, &waiting).await;
    app.opts_out("acct_unrelated").await;

    let erase = async |with_proof| {
        let mut tx = app.db.begin().await.unwrap();
        let erased = erase_account(&mut tx, &account, with_proof, app.clock.now()).await.unwrap();
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
    assert_eq!(
        recipient,
        format!(
            "sha256:{}",
            hex::encode(<sha2::Sha256 as sha2::Digest>::digest("jenny@bakery.example"))
        )
    );
    let others: String = app.one("select recipient from letters where offer_id = $1", &other).await;
    assert_eq!(others, "mo@garage.example", "of somebody else nothing is gone");
    app.after(TimeDelta::hours(1)).await;
    assert_eq!(app.relay.letters().len(), 2);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_may_be_sent_yet_is_passed_over_by_an_erasure_and_counted(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    deliver(&app, &offer).await;
    let account = account_of(&app, &offer).await;
    let erase = async || {
        let mut tx = app.db.begin().await.unwrap();
        let erased = erase_account(&mut tx, &account, false, app.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        (erased.letters, erased.skipped)
    };
    // As a letter is while the relay has not answered yet.
    let put = async |state: &str| {
        sqlx::query(
            "update letters set state = $1, sent_at = case when $1 = 'sent' then created_at end",
        )
        .bind(state)
        .execute(&app.db)
        .await
        .unwrap();
    };
    put("sending").await;
    assert_eq!(erase().await, (0, 1));
    put("sent").await;
    assert_eq!(erase().await, (1, 0));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_command_asks_before_it_erases(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    deliver(&app, &offer).await;
    let account = account_of(&app, &offer).await;
    let env = [("DATABASE_URL".to_owned(), process::url_of(&app.db))].into();
    let run = async |arguments: &[&str]| process::command(arguments, &env).output().await.unwrap();
    let unsure = run(&["account", "erase", &account]).await;
    assert_eq!(unsure.status.code(), Some(1), "{}", String::from_utf8_lossy(&unsure.stderr));
    assert!(is_named(&app).await);
    let sure = run(&["account", "erase", &account, "--yes", "--json"]).await;
    let said: serde_json::Value = serde_json::from_slice(&sure.stdout).unwrap();
    assert_eq!(
        said,
        serde_json::json!({"letters": 1, "events": 1, "contacts": 0, "proofs": 0, "visits": 0, "left": 0})
    );
    assert!(!is_named(&app).await);
    // What was erased cannot be read again, and says so.
    let event: String = app.one("select event_id from inbox_events where state = $1", "read").await;
    let replayed = run(&["event", "replay", &event]).await;
    assert_eq!(replayed.status.code(), Some(1), "{}", String::from_utf8_lossy(&replayed.stderr));
    app.finish().await;
}
