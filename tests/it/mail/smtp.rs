//! A relay that refuses, stalls, or closes the connection at any step. Letters known to be unsent
//! are sent later, letters in doubt follow the policy, and Stripe is told only after the relay has
//! accepted a letter.

use chrono::TimeDelta;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::aiosmtpd::{Aiosmtpd, Line};
use crate::support::smtp::{Step, Trouble};

const SHORT: [(&str, &str); 2] =
    [("COURIER_EMAIL__RELAY_TIMEOUT", "300ms"), ("COURIER_EMAIL__RELAY_ANSWER_TIMEOUT", "300ms")];

async fn send_with_failure(app: &TestApp, step: Step, trouble: Trouble) -> String {
    let offer = app.offer();
    app.relay.fail(step, trouble, 1);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    offer
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_failure_before_the_final_dot_is_retried(db: PgPool) {
    let app = TestApp::start_with(db, &SHORT).await;
    let steps = [Step::Connect, Step::Hello, Step::Mail, Step::Rcpt(0), Step::Rcpt(1), Step::Data];
    let mut cases: Vec<(Step, Trouble)> = Vec::new();
    for step in steps {
        cases.push((step, Trouble::Drop));
        cases.push((step, Trouble::Say("451 4.3.0 try again later")));
        cases.push((step, Trouble::Stall));
    }
    cases.push((Step::Mail, Trouble::Say("421 4.7.0 closing")));
    cases.push((Step::Dot, Trouble::Say("452 4.3.1 no room")));
    // Each case needs its own connection: a pooled one would skip the first steps.
    app.relay.close_after_message();
    for (number, (step, trouble)) in [&cases[..], &cases].concat().into_iter().enumerate() {
        if number == cases.len() {
            app.relay.without_pipelining();
        }
        let offer = send_with_failure(&app, step, trouble.clone()).await;
        app.expect_letter(&offer, "waiting", None).await;
        assert_eq!(app.stripe.delivered_marks(&offer), 0, "{step:?} {trouble:?}");
        let handed_over: i32 =
            app.one("select attempt from letters where offer_id = $1", &offer).await;
        assert_eq!(handed_over, i32::from(step == Step::Dot), "{step:?} {trouble:?}");
        app.after(TimeDelta::seconds(3)).await;
        app.expect_delivered(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_rejected_client_costs_no_attempts(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "2")]).await;
    app.relay.close_after_message();
    for (step, answer) in [
        (Step::Connect, "554 5.3.2 not here"),
        (Step::Mail, "530 5.7.0 authentication required"),
        (Step::Rcpt(1), "550 5.7.1 the copy's address is not allowed"),
    ] {
        let offer = app.offer();
        app.relay.fail(step, Trouble::Say(answer), 10);
        app.stripe_sends(&app.created(&offer)).await.expect_kept();
        app.run_due_work().await;
        for _ in 0..10 {
            app.expect_letter(&offer, "waiting", None).await;
            app.after(TimeDelta::minutes(6)).await;
        }
        app.expect_delivered(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_5xx_reply_is_final(db: PgPool) {
    let app = TestApp::start(db).await;
    let cases = [
        (Step::Rcpt(0), "550 5.1.1 <Jenny@bakery.EXAMPLE> unknown", "address_refused"),
        (Step::Rcpt(0), "550 5.7.1 policy says no to jenny", "relay_refused"),
        (Step::Mail, "550 5.7.1 sender <jenny@bakery.example>", "relay_refused"),
        (Step::Data, "554 5.5.1 jenny@bakery.example", "relay_refused"),
        (Step::Dot, "554 5.7.1 spam for JENNY", "relay_refused"),
        (Step::Dot, "550 5.1.1 unknown after all: jenny@bakery.example", "address_refused"),
        (Step::Dot, "550 5.1.1 unknown: =3CJenny=40bakery.example=3E", "address_refused"),
        (Step::Rcpt(0), "550 5.1.1 unknown: jenny%40bakery.example", "address_refused"),
    ];
    for (number, (step, answer, reason)) in [cases, cases].concat().into_iter().enumerate() {
        if number == cases.len() {
            app.relay.without_pipelining();
        }
        let offer = send_with_failure(&app, step, Trouble::Say(answer)).await;
        app.expect_letter(&offer, "rejected", Some(reason)).await;
        app.expect_untouched(&offer).await;
        let stored: String =
            app.one("select relay_reply from letters where offer_id = $1", &offer).await;
        assert!(
            stored.contains(&answer[..3])
                && stored.contains(&answer[4..9])
                && !stored.to_lowercase().contains("jenny"),
            "{stored}"
        );
        // The next letter goes to the same address, so lift its suppression.
        sqlx::query(
            "update suppressed_addresses set ended_at = suppressed_at, ended_by = 'operator'",
        )
        .execute(&app.db)
        .await
        .unwrap();
    }
    app.after(TimeDelta::days(2)).await;
    assert!(app.relay.letters().is_empty());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_in_doubt_is_resent_unchanged(db: PgPool) {
    let app = TestApp::start_with(db, &SHORT).await;
    // A connection lost in the middle of the message is no different: the data written may have
    // arrived, including the dot.
    for (step, trouble, copies) in [
        (Step::Dot, Trouble::TakeAndDrop, 2),
        (Step::Dot, Trouble::TakeAndStall, 2),
        (Step::Dot, Trouble::Drop, 1),
        (Step::Dot, Trouble::Stall, 1),
        (Step::Content, Trouble::Stall, 1),
    ] {
        let offer = send_with_failure(&app, step, trouble.clone()).await;
        app.expect_letter(&offer, "waiting", Some("uncertain")).await;
        assert_eq!(app.stripe.delivered_marks(&offer), 0);
        // The account's name changes meanwhile; a letter in doubt is sent again word for word.
        let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
        app.stripe.edit_account(&account, |account| {
            account["business_profile"]["name"] = "Somebody Else".into();
        });
        app.after(TimeDelta::seconds(3)).await;

        app.expect_letter(&offer, "sent", None).await;
        assert_eq!(app.stripe.delivered_marks(&offer), 1);
        let id: String = app
            .one("select '<' || message_id || '>' from letters where offer_id = $1", &offer)
            .await;
        let letters = app.relay.letters();
        let mine: Vec<_> =
            letters.iter().filter(|letter| letter.header("Message-ID") == id).collect();
        assert_eq!(mine.len(), copies, "{trouble:?}");
        assert!(
            mine.iter().all(|letter| letter
                .message()
                .body_text(0)
                .unwrap()
                .contains("Jenny's Bakery"))
        );
        assert_eq!(
            app.timeline(&offer).await[2..],
            ["letter.uncertain", "letter.waiting", "letter.sent", "offer.delivered"]
        );
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_is_held_after_three_doubts(db: PgPool) {
    let app = TestApp::start(db).await;
    app.relay.fail(Step::Dot, Trouble::TakeAndDrop, 1000);
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    for _ in 0..10 {
        app.after(TimeDelta::hours(1)).await;
    }
    app.expect_letter(&offer, "held", Some("uncertain")).await;
    assert_eq!((app.relay.letters().len(), app.stripe.delivered_marks(&offer)), (3, 0));
    let doubts: i32 =
        app.one("select uncertain_attempts from letters where offer_id = $1", &offer).await;
    assert_eq!(doubts, 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_in_doubt_is_rewritten_when_terms_change(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = send_with_failure(&app, Step::Dot, Trouble::TakeAndDrop).await;
    app.stripe
        .edit_offer(&offer, |offer| offer["offered_terms"]["advance_amount"] = 200_000.into());
    app.after(TimeDelta::seconds(3)).await;
    let letters = app.relay.letters();
    assert_eq!(letters[0].header("Message-ID"), letters[1].header("Message-ID"));
    let says = |place: usize, amount: &str| {
        letters[place].message().body_text(0).unwrap().contains(amount)
    };
    assert!(says(0, "$1,000.00") && says(1, "$2,000.00"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_in_doubt_is_held_by_policy(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let offer = send_with_failure(&app, Step::Dot, Trouble::TakeAndDrop).await;
    app.after(TimeDelta::days(1)).await;
    app.expect_letter(&offer, "held", Some("uncertain")).await;
    assert_eq!((app.relay.letters().len(), app.stripe.delivered_marks(&offer)), (1, 0));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_dead_pooled_connection_costs_no_attempt(db: PgPool) {
    let app = TestApp::start(db).await;
    app.relay.close_after_message();
    for _ in 0..3 {
        let offer = app.offer();
        app.stripe_sends(&app.created(&offer)).await.expect_kept();
        app.run_due_work().await;
        app.expect_delivered(&offer).await;
    }
    assert_eq!(app.relay.connections(), 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_connection_is_reused_for_many_letters(db: PgPool) {
    let app = TestApp::start(db).await;
    let offers: Vec<String> = (0..20).map(|_| app.offer()).collect();
    for offer in &offers {
        app.stripe_sends(&app.created(offer)).await.expect_kept();
    }
    app.run_due_work().await;
    assert_eq!((app.relay.letters().len(), app.relay.connections()), (20, 1));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unreachable_relay_costs_no_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.relay.fail(Step::Connect, Trouble::Drop, 9);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    for _ in 0..30 {
        app.after(TimeDelta::minutes(2)).await;
    }
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_deferred_too_often_is_held(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.0 greylisted"), 1000);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    for _ in 0..5 {
        app.after(TimeDelta::hours(1)).await;
    }
    app.expect_letter(&offer, "held", Some("gave_up")).await;
    app.expect_untouched(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_real_mail_server_accepts_the_letter(db: PgPool) {
    let server = Aiosmtpd::start(Line::Plain).await;
    let url = format!("smtp://127.0.0.1:{}", server.port());
    let app = TestApp::start_with(db, &[("SMTP_URL", &url)]).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;

    app.expect_letter(&offer, "sent", None).await;
    assert_eq!(app.stripe.delivered_marks(&offer), 1);
    let letters = server.letters();
    assert_eq!(letters.len(), 1);
    let message = mail_parser::MessageParser::default().parse(&letters[0]).unwrap();
    assert!(message.body_html(0).unwrap().contains("$1,000.00"));
    app.abandon();
}
