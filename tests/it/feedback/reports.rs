//! Bounces and complaints reported by mail servers, and their effects.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use capital_courier::consent::suppression::AddressHash;
use capital_courier::web::api::Scope;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::NewOffer;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};
use crate::web::api::{Answer, key, send};

const RETURN_PATH: (&str, &str) = ("COURIER_EMAIL__RETURN_PATH", "bounces@rocket.example");

/// Delivers an offer's letter and returns its Message-ID.
pub async fn delivered(app: &TestApp, offer: &str) -> String {
    app.stripe_sends(&app.created(offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(offer).await;
    app.one("select message_id from letters where offer_id = $1", offer).await
}

/// Another offer to the same merchant.
fn next_offer(app: &TestApp, offer: &str) -> String {
    app.stripe.create_offer(&account_of(app, offer), &NewOffer::default())
}

fn account_of(app: &TestApp, offer: &str) -> String {
    app.stripe.offer(offer).unwrap()["account"].as_str().unwrap().to_owned()
}

/// A delivery status notification; `id` is its own Message-ID.
struct Bounce<'a> {
    id: &'a str,
    to: &'a str,
    address: &'a str,
    action: &'a str,
    status: &'a str,
    /// The letter's, in the returned headers.
    message_id: &'a str,
}

impl<'a> Bounce<'a> {
    fn of(message_id: &'a str, status: &'a str) -> Self {
        Self {
            id: "1@mx.example",
            to: "capital@rocket.example",
            address: "jenny@bakery.example",
            action: "failed",
            status,
            message_id,
        }
    }

    fn message(&self) -> String {
        let Self { id, to, address, action, status, message_id } = self;
        format!(
            "From: MAILER-DAEMON@mx.example\r\nTo: <{to}>\r\nMessage-ID: <{id}>\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n\
             Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n\
             --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{message_id}>\r\nSubject: x\r\n\r\n--b--\r\n"
        )
    }
}

/// A report that the message could not be delivered, ever.
pub fn permanent_bounce(message_id: &str, address: &str) -> String {
    let id = format!("{message_id}.bounce");
    Bounce { address, id: &id, ..Bounce::of(message_id, "5.1.1") }.message()
}

pub fn complaint(kind: &str, message_id: &str, address: &str) -> String {
    format!(
        "From: <fbl@mail.example>\r\nTo: <abuse@rocket.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nVersion: 1\r\n\
         Original-Rcpt-To: <{address}>\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <{message_id}>\r\n\r\ntext\r\n--b--\r\n"
    )
}

/// Reports a permanent failure of the letter with this Message-ID.
pub async fn report_bounce(app: &TestApp, message_id: &str, address: &str) {
    let key = key(app, &[Scope::BouncesWrite]).await;
    let report = Bounce { address, ..Bounce::of(message_id, "5.1.1") };
    assert_eq!(post(app, &key, report.message()).await.status, 200);
}

async fn post(app: &TestApp, key: &str, message: impl Into<Vec<u8>>) -> Answer {
    let request = Request::post("/inbound/bounces")
        .header("Authorization", format!("Bearer {key}"))
        .header("Content-Type", "message/rfc822")
        .body(Body::from(message.into()))
        .unwrap();
    send(app, request).await
}

async fn outcome(app: &TestApp, key: &str, message: String) -> String {
    post(app, key, message).await.expect(200)["outcome"].as_str().unwrap().to_owned()
}

async fn allow(app: &TestApp, address: &str) -> usize {
    let mut tx = app.db.begin().await.unwrap();
    let address = address.parse::<AddressHash>().unwrap();
    let lifting =
        capital_courier::consent::suppression::lift(&mut tx, &address, "operator", app.clock.now());
    let lifted = lifting.await.unwrap().unwrap();
    tx.commit().await.unwrap();
    lifted.released
}

async fn resend(app: &TestApp, offer: &str) {
    let mut tx = app.db.begin().await.unwrap();
    capital_courier::letters::operator::resend(&mut tx, offer, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    app.run_due_work().await;
}

async fn suppressed(app: &TestApp) -> Vec<(String, String)> {
    sqlx::query_as("select reason, status from suppressed_addresses where ended_at is null")
        .fetch_all(&app.db)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_permanent_bounce_suppresses_the_address(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    let late = Bounce { id: "0@mx.example", action: "delayed", ..Bounce::of(&id, "4.4.1") };
    assert_eq!(outcome(&app, &key, late.message()).await, "transient");
    let copy = Bounce {
        id: "2@mx.example",
        address: "capital-offers@stripe.com",
        ..Bounce::of(&id, "5.1.1")
    };
    assert_eq!(outcome(&app, &key, copy.message()).await, "other_recipient");
    assert!(suppressed(&app).await.is_empty());

    let answer = post(&app, &key, Bounce::of(&id, "5.1.1 (jenny@bakery.example)").message())
        .await
        .expect(200);
    assert_eq!((&answer["outcome"], &answer["offer_id"]), (&json!("bounced"), &json!(offer)));
    assert_eq!(outcome(&app, &key, Bounce::of(&id, "5.1.1").message()).await, "duplicate");
    app.expect_letter(&offer, "bounced", Some("status 5.1.1")).await;
    let lines = app.timeline(&offer).await;
    assert_eq!(&lines[lines.len() - 2..], ["letter.bounced", "address.refused"]);
    let state: String = app.one("select state from deliveries where offer_id = $1", &offer).await;
    assert_eq!((state.as_str(), app.stripe.delivered_marks(&offer)), ("delivered", 1));

    // Also for another account with the same address in another case.
    let other = app.offer_to(Some("Jenny@Bakery.example"));
    let next = next_offer(&app, &offer);
    for held in [&other, &next] {
        app.stripe_sends(&app.created(held)).await.expect_kept();
        app.run_due_work().await;
        app.expect_letter(held, "held", Some("address_bounced")).await;
    }
    assert_eq!(app.relay.letters().len(), 1);
    // An operator's resend does not bypass the suppression.
    resend(&app, &next).await;
    app.expect_letter(&next, "held", Some("address_bounced")).await;
    assert_eq!(allow(&app, "jenny@bakery.example").await, 2);
    app.run_due_work().await;
    for sent in [&other, &next] {
        app.expect_delivered(sent).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_policy_bounce_does_not_suppress_the_address(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    assert_eq!(outcome(&app, &key, Bounce::of(&id, "5.7.1").message()).await, "bounced");
    assert!(suppressed(&app).await.is_empty());
    let next = next_offer(&app, &offer);
    delivered(&app, &next).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_repeated_report_does_not_bounce_a_resent_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    let report = Bounce::of(&id, "5.7.1").message();
    assert_eq!(outcome(&app, &key, report.clone()).await, "bounced");
    resend(&app, &offer).await;
    app.expect_letter(&offer, "sent", None).await;
    assert_eq!(outcome(&app, &key, report).await, "duplicate");
    app.expect_letter(&offer, "sent", None).await;
    let again = Bounce { id: "2@mx.example", ..Bounce::of(&id, "5.7.1") };
    assert_eq!(outcome(&app, &key, again.message()).await, "bounced");
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_complaint_opts_the_account_out(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    let waiting = next_offer(&app, &offer);
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    app.stripe_sends(&app.created(&waiting)).await.expect_kept();
    app.run_due_work().await;
    for (kind, address, expected) in [
        ("not-spam", "jenny@bakery.example", "not_spam"),
        ("auth-failure", "jenny@bakery.example", "transient"),
        ("abuse", "capital-offers@stripe.com", "other_recipient"),
    ] {
        assert_eq!(outcome(&app, &key, complaint(kind, &id, address)).await, expected, "{kind}");
    }
    app.expect_letter(&waiting, "waiting", None).await;
    // The author of a complaint is often redacted (RFC 6590).
    let report = complaint("abuse", &id, "redacted-4f2a@bakery.example");
    assert_eq!(outcome(&app, &key, report.clone()).await, "opted_out");
    assert_eq!(outcome(&app, &key, report).await, "duplicate");
    app.expect_letter(&waiting, "suppressed", Some("opted_out")).await;
    app.expect_letter(&offer, "sent", None).await;
    let lines = app.timeline(&offer).await;
    assert_eq!(lines.iter().filter(|line| *line == "letter.complained").count(), 1, "{lines:?}");
    let source: String = app
        .one("select source from opt_outs where account_id = $1", &account_of(&app, &offer))
        .await;
    assert_eq!(source, "complaint");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_report_to_the_return_path_identifies_its_letter(db: PgPool) {
    let app = TestApp::start_with(db, &[RETURN_PATH]).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    let letter = &app.relay.letters()[0];
    let digits = id.strip_prefix("letter_").unwrap().split('@').next().unwrap();
    assert_eq!(letter.from, format!("bounces+{digits}@rocket.example"));
    assert_eq!(letter.header("X-PM-Metadata-letter-id"), format!("letter_{digits}"));
    let unique: Value = serde_json::from_str(&letter.header("X-SMTPAPI")).unwrap();
    assert_eq!(unique["unique_args"]["letter_id"], format!("letter_{digits}"));
    // A relay may have changed both.
    let to = letter.from.to_uppercase();
    let report = Bounce { to: &to, ..Bounce::of("changed@relay.example", "5.1.1") };
    assert_eq!(outcome(&app, &key, report.message()).await, "bounced");
    app.expect_letter(&offer, "bounced", Some("status 5.1.1")).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_address_refused_by_the_relay_is_suppressed(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), Trouble::Say("550 5.1.1 unknown"), 1);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&offer, "rejected", Some("address_refused")).await;
    assert_eq!(suppressed(&app).await, [("refused".to_owned(), "5.1.1".to_owned())]);
    resend(&app, &offer).await;
    app.expect_letter(&offer, "held", Some("address_bounced")).await;
    app.expect_untouched(&offer).await;
    // The account was cached a moment ago; its new address is used at once.
    app.stripe.edit_account(&account_of(&app, &offer), |account| {
        account["email"] = "jenny@new.example".into();
    });
    resend(&app, &offer).await;
    let letter = app.expect_delivered(&offer).await;
    assert_eq!(letter.to[0], "jenny@new.example");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn opt_outs_and_suppressions_apply_until_the_data_phase(db: PgPool) {
    let app = TestApp::start(db).await;
    for (statement, state, reason) in [
        (
            "insert into opt_outs (account_id, source, opted_out_at) values ($1, 'operator', now())",
            "suppressed",
            "opted_out",
        ),
        (
            "insert into suppressed_addresses (address_sha256, reason, status, letter_id, suppressed_at)
             select sha256('jenny@bakery.example'), 'bounce', '5.1.1', letter_id, now()
             from letters where account_id <> $1 limit 1",
            "held",
            "address_bounced",
        ),
    ] {
        let offer = app.offer();
        let account = account_of(&app, &offer);
        app.stripe_sends(&app.created(&offer)).await.expect_kept();
        app.app.read_inbox().await.unwrap();
        app.relay.fail(Step::Data, Trouble::Wait(Duration::from_millis(500)), 1);
        // As if committed by a transaction that did not see the letter yet.
        let meanwhile = async {
            app.relay.reached(Step::Data).await;
            sqlx::query(statement).bind(&account).execute(&app.db).await.unwrap();
        };
        tokio::join!(app.run_due_work(), meanwhile);
        app.relay.forget(Step::Data);
        app.expect_letter(&offer, state, Some(reason)).await;
        app.expect_untouched(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_report_during_sending_must_be_repeated(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    let report = Bounce::of(&id, "5.1.1").message();
    let set = |state: &'static str| {
        sqlx::query(
            "update letters set state = $1, sent_at = case $1 when 'sent' then sending_started_at end",
        )
        .bind(state)
    };
    set("sending").execute(&app.db).await.unwrap();
    post(&app, &key, report.clone()).await.expect_refused(503, "unavailable");
    set("sent").execute(&app.db).await.unwrap();
    assert_eq!(outcome(&app, &key, report).await, "bounced");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_bounce_of_a_letter_in_doubt_is_recorded(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::TakeAndDrop, 1);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("uncertain")).await;
    let id: String = app.one("select message_id from letters where offer_id = $1", &offer).await;
    assert_eq!(outcome(&app, &key, Bounce::of(&id, "5.1.1").message()).await, "recorded");
    let lines = app.timeline(&offer).await;
    assert_eq!(&lines[lines.len() - 2..], ["letter.came_back", "address.refused"]);
    resend(&app, &offer).await;
    app.expect_letter(&offer, "held", Some("address_bounced")).await;
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn unknown_letters_are_acknowledged_and_other_messages_refused(db: PgPool) {
    let app = TestApp::start(db).await;
    let key_to_report = key(&app, &[Scope::BouncesWrite]).await;
    let other_key = key(&app, &[Scope::OptOutsRead]).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    let never_sent: String =
        app.one("select message_id from letters where offer_id = $1", &offer).await;
    for id in ["letter_unknown@rocket.example", &never_sent] {
        let answer =
            post(&app, &key_to_report, Bounce::of(id, "5.1.1").message()).await.expect(200);
        assert_eq!(answer, json!({"outcome": "no_such_letter"}));
    }
    app.run_due_work().await;
    let report = Bounce::of(&never_sent, "5.1.1").message();
    post(&app, &other_key, report.clone()).await.expect_refused(403, "missing_scope");
    post(&app, "courier_x", report.clone()).await.expect_refused(401, "bad_key");
    for body in ["", "Subject: hello\r\n\r\nhello", "{}"] {
        post(&app, &key_to_report, body).await.expect_refused(400, "unreadable_report");
    }
    let large = vec![b'x'; 1024 * 1024 + 1];
    post(&app, &key_to_report, large).await.expect_refused(413, "body_too_large");
    let get = Request::get("/inbound/bounces").body(Body::empty()).unwrap();
    send(&app, get).await.expect_refused(405, "method_not_allowed");
    app.expect_delivered(&offer).await;
    sqlx::query("alter table feedback_events rename to elsewhere").execute(&app.db).await.unwrap();
    let headers = post(&app, &key_to_report, report).await.expect_refused(503, "unavailable");
    assert!(headers.contains_key("retry-after"));
    app.expect_letter(&offer, "sent", None).await;
    app.abandon();
}

/// Nested messages and multiparts that overflow a recursive parser.
pub fn bombs() -> [(&'static str, String); 5] {
    let nested = |level: &str, levels: usize| level.repeat(levels) + "A: b\n\nx";
    let multiparts = |levels: usize| {
        let level =
            |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n:x}\n\n--b{n:x}\n");
        (0..levels).map(level).collect::<String>()
    };
    let report = Bounce::of("letter_1@rocket.example", "5.1.1").message();
    let inside = nested("Content-Type: message/rfc822\r\n\r\n", 25_000);
    [
        ("messages", nested("Content-Type:message/rfc822\n\n", 25_000)),
        ("folded", nested("content-type:\r\n MESSAGE/Global\r\n\r\n", 25_000)),
        ("in a report", report.replace("Content-Type: text/rfc822-headers\r\n\r\n", &inside)),
        ("multiparts", multiparts(15_000)),
        (
            "parts",
            format!(
                "Content-Type: multipart/mixed; boundary=b\n\n{}",
                "--b\n\nx\n".repeat(140_000)
            ),
        ),
    ]
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn nested_messages_do_not_crash_the_process(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    for (bomb, message) in bombs() {
        assert!(
            message.len() > 300_000 && message.len() <= 1024 * 1024,
            "{bomb}: {}",
            message.len()
        );
        post(&app, &key, message).await.expect_refused(400, "unreadable_report");
    }
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    assert_eq!(outcome(&app, &key, Bounce::of(&id, "5.1.1").message()).await, "bounced");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn invalid_references_are_dropped(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    let nul = Bounce::of("letter\0@rocket.example", "5.1.1").message();
    post(&app, &key, nul).await.expect_refused(400, "unreadable_report");
    let nul = complaint("abuse", "letter\0@rocket.example", "jenny@bakery.example");
    let mine =
        format!("Original-Mail-From: <bounces+{}@rocket.example>\r\nOriginal-Rcpt-To", &id[7..39]);
    // An invalid reference does not discard a valid one.
    assert_eq!(outcome(&app, &key, nul.replace("Original-Rcpt-To", &mine)).await, "opted_out");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_corrected_address_at_stripe_is_used(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &[Scope::BouncesWrite]).await;
    let offer = app.offer();
    let id = delivered(&app, &offer).await;
    assert_eq!(outcome(&app, &key, Bounce::of(&id, "5.1.1").message()).await, "bounced");
    app.stripe.edit_account(&account_of(&app, &offer), |account| {
        account["email"] = "jenny@new.example".into();
    });
    app.clock.advance(TimeDelta::hours(1));
    resend(&app, &offer).await;
    app.expect_letter(&offer, "sent", None).await;
    let to: Vec<String> = app.relay.letters().iter().map(|letter| letter.to[0].clone()).collect();
    assert_eq!(
        (to, app.stripe.delivered_marks(&offer)),
        (vec!["jenny@bakery.example".to_owned(), "jenny@new.example".to_owned()], 1)
    );
    app.abandon();
}
