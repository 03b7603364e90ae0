//! `offer resend --again`: a second email about an offer whose first one was sent.

use std::collections::HashMap;

use capital_courier::letters::operator::{SentAgain, send_again};
use sqlx::PgPool;
use stripe_simulator::{Action, NewAccount, NewOffer};

use super::{run_err, run_ok};
use crate::support::TestApp;
use crate::support::process::{Process, post, world};
use crate::support::smtp::{Relay, Step, Trouble as SmtpTrouble};
use crate::support::wait::eventually;

const AGAIN: [&str; 3] = ["--again", "--reason", "the merchant deleted it"];

async fn send_once_more(app: &TestApp, offer: &str) -> serde_json::Value {
    let arguments = [&["offer", "resend", offer, "--json"], &AGAIN[..]].concat();
    serde_json::from_str(&run_ok(&app.db, &arguments).await).unwrap()
}

/// State and reason of the offer's letters, in order.
async fn letters(db: &PgPool, offer: &str) -> Vec<(String, Option<String>)> {
    sqlx::query_as("select state, reason from letters where offer_id = $1 order by letter_id")
        .bind(offer)
        .fetch_all(db)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_sent_letter_is_sent_again_under_its_own_message_id(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    let without_reason = run_err(&app.db, &["offer", "resend", &offer, "--again"]).await;
    assert!(without_reason.contains("needs a reason"), "{without_reason}");
    let not_again = run_err(&app.db, &["offer", "resend", &offer]).await;
    assert!(not_again.contains("`--again`"), "{not_again}");

    let queued = send_once_more(&app, &offer).await;
    assert_eq!(
        (&queued["outcome"], &queued["offer_id"]),
        (&"waiting".into(), &offer.clone().into())
    );
    // Two calls make one letter more, not two.
    let arguments = [&["offer", "resend", &offer], &AGAIN[..]].concat();
    let twice = run_err(&app.db, &arguments).await;
    assert!(twice.contains("an email that is waiting"), "{twice}");
    app.make_jobs_due().await;
    app.run_due_work().await;
    let sent = app.relay.letters();
    assert_eq!(sent.len(), 2);
    assert_ne!(sent[0].header("Message-ID"), sent[1].header("Message-ID"));
    assert_eq!(sent[0].message().body_text(0), sent[1].message().body_text(0));
    assert_eq!(letters(&app.db, &offer).await, [("sent".into(), None), ("sent".into(), None)]);
    // Stripe was told once, about the first letter.
    assert_eq!(app.stripe.delivered_marks(&offer), 1);
    assert_eq!(app.delivery(&offer).await.0, "delivered");
    let shown = run_ok(&app.db, &["offer", "show", &offer]).await;
    assert!(
        shown.contains("resend 1: sent") && shown.contains("sent again by an operator"),
        "{shown}"
    );

    let (action, reason, outcome): (String, String, String) =
        sqlx::query_as("select action, reason, outcome from operator_actions where offer_id = $1")
            .bind(&offer)
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert_eq!((&*action, &*reason), ("letter.send_again", "the merchant deleted it"));
    assert_eq!(outcome, format!("queued {}", queued["letter_id"].as_str().unwrap()));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_resend_obeys_opt_outs_suppressions_and_the_end_of_the_offer(db: PgPool) {
    let app = TestApp::start(db).await;
    let (opted_out, ended) = (app.offer(), app.offer_to(Some("owner@rocket.example")));
    let suppressed = app.offer_to(Some("hello@kite.example"));
    for offer in [&opted_out, &ended, &suppressed] {
        app.announce(offer).await;
        app.expect_delivered(offer).await;
    }
    sqlx::query(
        "insert into suppressed_addresses (address_sha256, reason, status, letter_id, suppressed_at)
         select sha256('hello@kite.example'), 'bounce', '5.1.1', letter_id, now() from letters
         where offer_id = $1",
    )
    .bind(&suppressed)
    .execute(&app.db)
    .await
    .unwrap();
    for offer in [&opted_out, &ended, &suppressed] {
        send_once_more(&app, offer).await;
    }
    app.opts_out(&app.account_of(&opted_out)).await;
    app.stripe.perform(Action::Expire, &ended).unwrap();
    app.make_jobs_due().await;
    app.run_due_work().await;
    let resends = [
        (&opted_out, ("suppressed", "opted_out")),
        (&ended, ("withdrawn", "offer_expired")),
        (&suppressed, ("held", "address_bounced")),
    ];
    for (offer, (state, reason)) in resends {
        let expected = [("sent".into(), None), (state.into(), Some(reason.into()))];
        assert_eq!(letters(&app.db, offer).await, expected, "{offer}");
        assert_eq!(app.stripe.delivered_marks(offer), 1);
    }
    assert_eq!(app.relay.letters().len(), 3);
    // A held resend is retried like any other letter, and never opens a third one.
    let arguments = [&["offer", "resend", &suppressed], &AGAIN[..]].concat();
    assert!(run_err(&app.db, &arguments).await.contains("an email that is held"));
    run_ok(&app.db, &["address", "allow", "hello@kite.example"]).await;
    app.make_jobs_due().await;
    app.run_due_work().await;
    assert_eq!(app.relay.letters().len(), 4);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_without_a_sent_letter_has_nothing_to_send_again(db: PgPool) {
    let app = TestApp::start(db).await;
    let held = app.offer_to(None);
    app.announce(&held).await;
    let arguments = [&["offer", "resend", &held], &AGAIN[..]].concat();
    assert!(run_err(&app.db, &arguments).await.contains("an email that is held"));
    run_ok(&app.db, &["offer", "withdraw", &held]).await;
    assert!(run_err(&app.db, &arguments).await.contains("no email that was sent"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn two_operators_at_once_open_one_resend(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    let now = app.clock.now();
    let mut first = app.db.begin().await.unwrap();
    let SentAgain::Queued(id) = send_again(&mut first, &offer, now).await.unwrap() else {
        panic!("not queued")
    };
    let (db, same_offer) = (app.db.clone(), offer.clone());
    let second = tokio::spawn(async move {
        let mut tx = db.begin().await.unwrap();
        send_again(&mut tx, &same_offer, now).await.unwrap()
    });
    // The second waits for the first one's lock, and then finds its letter.
    let is_waiting = async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where wait_event_type = 'Lock' and datname = current_database()",
        )
        .fetch_one(&app.db)
        .await
        .unwrap();
        waiting > 0
    };
    eventually(|| "the second does not wait".to_owned(), is_waiting).await;
    first.commit().await.unwrap();
    let SentAgain::Unsettled { letter_id, .. } = second.await.unwrap() else {
        panic!("queued twice")
    };
    assert_eq!(letter_id, id);
    app.make_jobs_due().await;
    app.run_due_work().await;
    assert_eq!(app.relay.letters().len(), 2);
    app.finish().await;
}

/// An offer whose letter was sent, of a real process that has ended; the environment of the next.
async fn sent_by_a_process(db: &PgPool) -> (String, Relay, HashMap<String, String>) {
    let (stripe, relay, env) = world(db).await;
    let mut process = Process::serve(&env).await;
    let email = Some("jenny@bakery.example".to_owned());
    let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
    let offer = stripe.create_offer(&account, &NewOffer::default());
    for event in stripe.events() {
        let url = process.webhook.clone().unwrap();
        assert_eq!(post(&url, serde_json::to_vec(&event).unwrap()).await, 200);
    }
    let is_marked = async || stripe.delivered_marks(&offer) == 1;
    eventually(|| process.logged(), is_marked).await;
    process.signal("-TERM");
    process.ended().await;
    // Dropped, it would stop to answer.
    std::mem::forget(stripe);
    (offer, relay, env)
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_crash_while_sending_again_repeats_the_resend_alone(db: PgPool) {
    let (offer, relay, env) = sent_by_a_process(&db).await;
    run_ok(&db, &[&["offer", "resend", &offer], &AGAIN[..]].concat()).await;
    let mut dying = env.clone();
    dying.insert("COURIER_CRASH_AT".to_owned(), "letter.after_relay".to_owned());
    let mut dying = Process::serve(&dying).await;
    assert!(dying.ended().await.code().is_none(), "{}", dying.logged());
    let states: Vec<String> =
        letters(&db, &offer).await.into_iter().map(|letter| letter.0).collect();
    assert_eq!(states, ["sent", "sending"]);
    let process = Process::serve(&env).await;
    let is_sent = async || letters(&db, &offer).await[1].0 == "sent";
    eventually(|| process.logged(), is_sent).await;
    let ids: Vec<String> =
        relay.letters().iter().map(|letter| letter.header("Message-ID")).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0] != ids[1] && ids[1] == ids[2], "{ids:?}");
    let attempts: Vec<(i32, String)> = sqlx::query_as(
        "select attempt, outcome from delivery_attempts
         join delivery_attempt_results using (delivery_attempt_id)
         where offer_id = $1 order by delivery_attempt_id",
    )
    .bind(&offer)
    .fetch_all(&db)
    .await
    .unwrap();
    let expected = [(1, "sent"), (1, "unknown"), (2, "sent")];
    assert_eq!(attempts, expected.map(|(attempt, outcome)| (attempt, outcome.to_owned())));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_outcome_of_a_resend_is_printed(db: PgPool) {
    let (offer, relay, env) = sent_by_a_process(&db).await;
    let _process = Process::serve(&env).await;
    let arguments = [&["offer", "resend", &offer], &AGAIN[..]].concat();
    let output = run_ok(&db, &arguments).await;
    assert!(output.contains("sent to j***@bakery.example in "), "{output}");
    relay.fail(Step::Rcpt(0), SmtpTrouble::Say("550 5.7.1 not from you"), 1);
    let error = run_err(&db, &arguments).await;
    assert!(error.contains("the email is rejected: relay_refused"), "{error}");
    // The first letter and its delivery are as they were.
    assert_eq!(letters(&db, &offer).await[0].0, "sent");
}
