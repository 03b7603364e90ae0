//! The regular flow: from Stripe's event to the merchant's mailbox and back to Stripe.

use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{Action, EVENT_TYPES};

use crate::support::TestApp;

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_is_emailed_once_and_stripe_is_told(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();

    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;

    let letter = app.expect_delivered(&offer).await;
    assert_eq!(letter.from, "capital@rocket.example");
    assert_eq!(letter.to, ["jenny@bakery.example", "capital-offers@stripe.com"]);
    assert_eq!(
        app.timeline(&offer).await,
        ["capital.financing_offer.created", "letter.opened", "letter.sent", "offer.delivered"]
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_response_and_the_letter_are_stored_as_evidence(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;

    let (status, request_id, answer): (i16, String, sqlx::types::JsonValue) = sqlx::query_as(
        "select response_status, response_request_id, response_body
         from deliveries
         where offer_id = $1",
    )
    .bind(&offer)
    .fetch_one(&app.db)
    .await
    .unwrap();
    assert_eq!((status, answer["status"].as_str()), (200, Some("delivered")));
    assert!(request_id.starts_with("req_"));

    let letter = app.expect_delivered(&offer).await;
    let (recipient, subject, text, html, version, relay_reply): (
        String,
        String,
        String,
        String,
        String,
        String,
    ) = sqlx::query_as(
        "select recipient, subject, body_text, body_html, template_version, relay_reply from letters
             where offer_id = $1 and sent_at is not null",
    )
    .bind(&offer)
    .fetch_one(&app.db)
    .await
    .unwrap();
    let message = letter.message();
    assert_eq!(
        (recipient.as_str(), message.subject()),
        ("jenny@bakery.example", Some(subject.as_str()))
    );
    let same =
        |sent: &str, kept: &str| assert_eq!(sent.replace("\r\n", "\n").trim_end(), kept.trim_end());
    same(&message.body_text(0).unwrap(), &text);
    same(&message.body_html(0).unwrap(), &html);
    assert_eq!((version.len(), relay_reply.as_str()), (32, "250 2.0.0 queued as 1A2B3C"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_event_type_is_stored_and_in_the_timeline(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    for event_type in EVENT_TYPES {
        let event = app.stripe.emit(event_type, &offer);
        app.stripe_sends(&event).await.expect_kept();
    }
    app.run_due_work().await;

    let states: Vec<(String, String)> =
        sqlx::query_as("select event_type, state from inbox_events order by arrival")
            .fetch_all(&app.db)
            .await
            .unwrap();
    assert_eq!(states, EVENT_TYPES.map(|event_type| (event_type.to_owned(), "read".to_owned())));
    for event_type in EVENT_TYPES {
        let lines: i64 =
            app.one("select count(*) from timeline_entries where kind = $1", event_type).await;
        assert_eq!(lines, 1, "{event_type}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn late_events_never_move_a_status_back(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let created = app.created(&offer);
    app.stripe_sends(&created).await.expect_kept();
    app.run_due_work().await;
    for action in [Action::Apply, Action::Approve] {
        app.stripe.perform(action, &offer).unwrap();
    }
    // The latest event arrives first, then the earlier one, then the first again under another id.
    app.stripe_sends(&app.event(&offer, "capital.financing_offer.paid_out")).await.expect_kept();
    app.run_due_work().await;
    app.stripe_sends(&app.event(&offer, "capital.financing_offer.accepted")).await.expect_kept();
    let mut again = created.clone();
    again["id"] = "evt_another".into();
    app.stripe_sends(&again).await.expect_kept();
    app.run_due_work().await;

    app.expect_status(&offer, "paid_out").await;
    assert_eq!((app.relay.letters().len(), app.stripe.delivered_marks(&offer)), (1, 1));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_that_is_no_longer_open_gets_no_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let (expired, replaced) = (app.offer(), app.offer());
    for offer in [&expired, &replaced] {
        app.stripe_sends(&app.created(offer)).await.expect_kept();
    }
    app.stripe.perform(Action::Expire, &expired).unwrap();
    app.stripe.perform(Action::Replace, &replaced).unwrap();
    app.run_due_work().await;

    app.expect_letter(&expired, "withdrawn", Some("offer_expired")).await;
    app.expect_letter(&replaced, "withdrawn", Some("offer_replaced")).await;
    app.expect_untouched(&expired).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_expired_undelivered_offer_gets_no_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.clock.advance(TimeDelta::days(30));
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;

    app.expect_letter(&offer, "withdrawn", Some("offer_expired")).await;
    app.expect_untouched(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_accepted_event_before_created_opens_no_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let created = app.created(&offer);
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "delivered".into());
    app.stripe.perform(Action::Apply, &offer).unwrap();
    app.stripe_sends(&app.event(&offer, "capital.financing_offer.accepted")).await.expect_kept();
    app.run_due_work().await;
    app.stripe_sends(&created).await.expect_kept();
    app.run_due_work().await;

    app.expect_no_letter(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_event_of_the_wrong_mode_has_no_effect(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let mut event = app.created(&offer);
    event["livemode"] = true.into();
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;

    assert_eq!(app.event_state(event["id"].as_str().unwrap()).await.0, "wrong_mode");
    app.expect_untouched(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_event_from_a_connect_endpoint_is_read_with_a_warning(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let mut event = app.created(&offer);
    event["account"] = event["data"]["object"]["account"].clone();
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;

    app.expect_delivered(&offer).await;
    let (_, note) = app.event_state(event["id"].as_str().unwrap()).await;
    assert!(note.as_deref().is_some_and(|note| note.contains("Connect endpoint")), "{note:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unreadable_event_does_not_block_the_others(db: PgPool) {
    let app = TestApp::start(db).await;
    let (bad, good) = (app.offer(), app.offer());
    let mut not_an_offer = app.created(&bad);
    not_an_offer["data"]["object"]["status"] = 7.into();
    app.stripe_sends(&not_an_offer).await.expect_kept();
    // Postgres itself rejects this text.
    let mut nul = app.created(&bad);
    nul["id"] = "evt_nul".into();
    nul["data"]["object"]["disclaimer_variant"] = "a\u{0}b".into();
    app.stripe_sends(&nul).await.expect_kept();
    app.stripe_sends(&app.created(&good)).await.expect_kept();
    app.run_due_work().await;

    app.expect_delivered(&good).await;
    let unreadable: i64 = app
        .one(
            "select count(*) from inbox_events where state = $1 and note is not null",
            "unreadable",
        )
        .await;
    assert_eq!(unreadable, 2);
    app.finish().await;
}
