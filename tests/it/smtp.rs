//! A relay that refuses, stalls, or drops the line at any step: what is known not to be sent is sent later, what may have been
//! sent goes by the policy, and Stripe hears of a letter only when the relay has it.

use chrono::TimeDelta;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::aiosmtpd::{Aiosmtpd, Line};
use crate::support::smtp::{Step, Trouble};

const SHORT: (&str, &str) = ("COURIER_EMAIL__RELAY_TIMEOUT", "300ms");

async fn sent_to_trouble(app: &TestApp, step: Step, trouble: Trouble) -> String {
    let offer = app.offer();
    app.relay.fail(step, trouble, 1);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    offer
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn trouble_before_the_final_dot_means_not_sent_and_sent_later(db: PgPool) {
    let app = TestApp::start_with(db, &[SHORT]).await;
    let steps = [Step::Connect, Step::Hello, Step::Mail, Step::Rcpt(0), Step::Rcpt(1), Step::Data];
    let mut cases: Vec<(Step, Trouble)> = Vec::new();
    for step in steps {
        cases.push((step, Trouble::Drop));
        cases.push((step, Trouble::Say("451 4.3.0 try again later")));
        cases.push((step, Trouble::Stall));
    }
    cases.push((Step::Connect, Trouble::Say("554 5.3.2 not here")));
    cases.push((Step::Mail, Trouble::Say("421 4.7.0 closing")));
    cases.push((Step::Dot, Trouble::Say("452 4.3.1 no room")));
    for (step, trouble) in cases {
        // Each case with a connection of its own: a pooled one would pass over the first steps.
        app.relay.close_after_message();
        let offer = sent_to_trouble(&app, step, trouble.clone()).await;
        let (state, reason) = app.letter(&offer).await;
        if state == "sent" {
            // A pooled connection that turned out dead: the fresh one had no trouble.
            app.expect_delivered(&offer).await;
            continue;
        }
        assert_eq!((state.as_str(), reason), ("waiting", None), "{step:?} {trouble:?}");
        assert_eq!(app.stripe.marked(&offer), 0, "{step:?} {trouble:?}");
        app.after(TimeDelta::seconds(3)).await;
        app.expect_delivered(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_5xx_is_the_relays_last_word(db: PgPool) {
    let app = TestApp::start(db).await;
    for (step, reason) in [
        (Step::Rcpt(0), "address_refused"),
        (Step::Rcpt(1), "relay_refused"),
        (Step::Mail, "relay_refused"),
        (Step::Data, "relay_refused"),
        (Step::Dot, "relay_refused"),
    ] {
        let offer =
            sent_to_trouble(&app, step, Trouble::Say("550 5.1.1 <jenny@bakery.example> unknown")).await;
        app.expect_letter(&offer, "rejected", Some(reason)).await;
        app.expect_untouched(&offer).await;
        let answer: String = app.one("select relay_answer from letters where offer_id = $1", &offer).await;
        assert!(answer.contains("550") && !answer.contains("jenny"), "{answer}");
    }
    app.after(TimeDelta::days(2)).await;
    assert!(app.relay.letters().is_empty());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_may_have_been_sent_is_sent_again_as_the_same_letter(db: PgPool) {
    let app = TestApp::start_with(db, &[SHORT]).await;
    for (trouble, copies) in
        [(Trouble::TakeAndDrop, 2), (Trouble::TakeAndStall, 2), (Trouble::Drop, 1), (Trouble::Stall, 1)]
    {
        let offer = sent_to_trouble(&app, Step::Dot, trouble.clone()).await;
        app.expect_letter(&offer, "waiting", Some("uncertain")).await;
        assert_eq!(app.stripe.marked(&offer), 0);
        // The account's name changes meanwhile; what may have been sent is sent again word for word.
        let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
        app.stripe
            .edit_account(&account, |account| account["business_profile"]["name"] = "Somebody Else".into());
        app.after(TimeDelta::seconds(3)).await;

        app.expect_letter(&offer, "sent", None).await;
        assert_eq!(app.stripe.marked(&offer), 1);
        let id: String =
            app.one("select '<' || message_id || '>' from letters where offer_id = $1", &offer).await;
        let letters = app.relay.letters();
        let mine: Vec<_> = letters.iter().filter(|letter| letter.header("Message-ID") == id).collect();
        assert_eq!(mine.len(), copies, "{trouble:?}");
        assert!(mine.iter().all(|letter| letter.message().body_text(0).unwrap().contains("Jenny's Bakery")));
        assert_eq!(
            app.timeline(&offer).await[2..],
            ["letter.uncertain", "letter.waiting", "letter.sent", "offer.delivered"]
        );
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_may_have_been_sent_is_held_where_the_operator_says_so(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let offer = sent_to_trouble(&app, Step::Dot, Trouble::TakeAndDrop).await;
    app.after(TimeDelta::days(1)).await;
    app.expect_letter(&offer, "held", Some("uncertain")).await;
    assert_eq!((app.relay.letters().len(), app.stripe.marked(&offer)), (1, 0));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_pooled_connection_that_turns_out_dead_costs_nothing(db: PgPool) {
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
async fn a_connection_is_used_for_many_letters(db: PgPool) {
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
async fn a_relay_that_is_away_for_an_hour_costs_an_hour_and_no_letter(db: PgPool) {
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
async fn a_letter_that_the_relay_never_takes_is_held_in_the_end(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "3")]).await;
    let offer = app.offer();
    app.relay.fail(Step::Connect, Trouble::Drop, 1000);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    for _ in 0..5 {
        app.after(TimeDelta::hours(1)).await;
    }
    app.expect_letter(&offer, "held", Some("gave_up")).await;
    app.expect_untouched(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_real_mail_server_takes_the_letter(db: PgPool) {
    let server = Aiosmtpd::start(Line::Plain).await;
    let url = format!("smtp://127.0.0.1:{}", server.port());
    let app = TestApp::start_with(db, &[("SMTP_URL", &url)]).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;

    app.expect_letter(&offer, "sent", None).await;
    assert_eq!(app.stripe.marked(&offer), 1);
    let letters = server.letters();
    assert_eq!(letters.len(), 1);
    let message = mail_parser::MessageParser::default().parse(&letters[0]).unwrap();
    assert!(message.body_html(0).unwrap().contains("$1,000.00"));
    app.abandon();
}
