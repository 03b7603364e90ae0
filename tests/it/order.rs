//! Events late, doubled, out of order, within one second, and in contradiction; and what becomes of the letter meanwhile.

use std::fmt::Write;

use capital_courier::simulator::{Button, Fault, NewOffer, Trouble};
use chrono::TimeDelta;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble as SmtpTrouble};

async fn status(app: &TestApp, offer: &str) -> String {
    app.one("select status from financing_offers where offer_id = $1", offer).await
}

async fn takes(app: &TestApp, event: &Value) {
    app.stripe_sends(event).await.expect_kept();
    app.run_due_work().await;
}

/// The newest event of a kind about an offer.
fn event(app: &TestApp, offer: &str, kind: &str) -> Value {
    app.event(offer, &format!("capital.financing_offer.{kind}"))
}

/// Another event for the same change.
fn another(event: &Value) -> Value {
    let mut another = event.clone();
    another["id"] = format!("{}_again", event["id"].as_str().unwrap()).into();
    another
}

/// A letter that waits because the relay said later.
async fn waiting(app: &TestApp) -> String {
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
    takes(app, &app.created(&offer)).await;
    app.expect_letter(&offer, "waiting", None).await;
    offer
}

/// What can end an offer before it is delivered, its event, and the reason that the letter is withdrawn for.
const ENDS: [(Button, &str, &str); 2] = [
    (Button::Expire, "expired", "offer_expired"),
    (Button::TakeOther, "accepted_other_offer", "offer_accepted_other_offer"),
];

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_that_ends_before_its_letter_is_sent_takes_the_letter_back(db: PgPool) {
    let app = TestApp::start(db).await;
    for (button, kind, reason) in ENDS {
        let offer = waiting(&app).await;
        app.stripe.press(button, &offer).unwrap();
        // Not the next attempt but the event itself takes it back.
        app.stripe_sends(&event(&app, &offer, kind)).await.expect_kept();
        app.app.read_inbox().await.unwrap();
        app.expect_letter(&offer, "withdrawn", Some(reason)).await;
        app.after(TimeDelta::hours(1)).await;
        let note: Option<String> = app
            .one(
                "select note from timeline_entries where offer_id = $1 and what = 'letter.withdrawn'",
                &offer,
            )
            .await;
        assert_eq!(note.as_deref(), Some(reason), "the timeline says why");
        app.expect_untouched(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_is_held_is_taken_back_too_unless_it_may_have_been_sent(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let nobody = app.offer_to(None);
    takes(&app, &app.created(&nobody)).await;
    app.expect_letter(&nobody, "held", Some("no_recipient")).await;
    let in_doubt = app.offer();
    app.relay.fail(Step::Dot, SmtpTrouble::TakeAndDrop, 1);
    takes(&app, &app.created(&in_doubt)).await;
    for offer in [&nobody, &in_doubt] {
        app.stripe.press(Button::Expire, offer).unwrap();
        takes(&app, &event(&app, offer, "expired")).await;
    }
    app.expect_letter(&nobody, "withdrawn", Some("offer_expired")).await;
    app.expect_letter(&in_doubt, "held", Some("uncertain")).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_end_that_comes_before_the_beginning_opens_no_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    for (button, kind, _) in ENDS {
        let offer = app.offer();
        let created = app.created(&offer);
        app.stripe.press(button, &offer).unwrap();
        takes(&app, &event(&app, &offer, kind)).await;
        takes(&app, &created).await;
        let letters: i64 = app.one("select count(*) from letters where offer_id = $1", &offer).await;
        assert_eq!((letters, status(&app, &offer).await.as_str()), (0, kind));
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_that_ends_while_its_letter_is_handed_over_leaves_a_letter_and_no_mark(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    // The letter is sent; before Stripe is told, the offer ends.
    app.stripe.fail(Fault { method: "POST", path: "mark_delivered", times: 1, trouble: Trouble::DropBefore });
    takes(&app, &app.created(&offer)).await;
    app.stripe.press(Button::Expire, &offer).unwrap();
    takes(&app, &event(&app, &offer, "expired")).await;
    app.after(TimeDelta::minutes(1)).await;

    app.expect_letter(&offer, "sent", None).await;
    let (state, note): (String, String) =
        sqlx::query_as("select state, note from deliveries where offer_id = $1")
            .bind(&offer)
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert_eq!((state.as_str(), app.stripe.marked(&offer)), ("refused", 0), "{note}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_end_after_the_delivery_is_followed_and_the_letter_stays_sent(db: PgPool) {
    let app = TestApp::start(db).await;
    let lives: [(&[Button], &str); 7] = [
        (&[Button::Expire], "expired"),
        (&[Button::TakeOther], "accepted_other_offer"),
        (&[Button::Apply], "accepted"),
        (&[Button::Apply, Button::Reject], "rejected"),
        (&[Button::Apply, Button::Cancel], "canceled"),
        (&[Button::Apply, Button::Approve], "paid_out"),
        (&[Button::Apply, Button::Approve, Button::Repay], "fully_repaid"),
    ];
    for (buttons, last) in lives {
        let offer = app.offer();
        takes(&app, &app.created(&offer)).await;
        for button in buttons {
            app.stripe.press(*button, &offer).unwrap();
        }
        // All at once and the last one first.
        let mut events = app.stripe.events();
        events.retain(|event| event["data"]["object"]["id"] == offer.as_str());
        for event in events.iter().rev() {
            app.stripe_sends(event).await.expect_kept();
            app.stripe_sends(&another(event)).await.expect_kept();
        }
        app.run_due_work().await;
        assert_eq!(status(&app, &offer).await, last);
        app.expect_letter(&offer, "sent", None).await;
        assert_eq!(app.stripe.marked(&offer), 1);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn of_two_ends_of_one_rank_stripe_says_which_is_true(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    takes(&app, &app.created(&offer)).await;
    app.stripe.press(Button::Apply, &offer).unwrap();
    app.stripe.press(Button::Cancel, &offer).unwrap();
    // An event that says rejected, in the same second; Stripe itself says canceled.
    let mut rejected = another(&event(&app, &offer, "canceled"));
    rejected["type"] = "capital.financing_offer.rejected".into();
    rejected["data"]["object"]["status"] = "rejected".into();
    takes(&app, &rejected).await;
    assert_eq!(status(&app, &offer).await, "rejected");
    takes(&app, &event(&app, &offer, "canceled")).await;
    assert_eq!(status(&app, &offer).await, "canceled");
    let asked: String = app
        .one("select note from timeline_entries where offer_id = $1 and what like '%canceled'", &offer)
        .await;
    assert!(asked.contains("asking Stripe"), "{asked}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_status_that_stripe_itself_takes_back_stays_and_is_noted(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    takes(&app, &app.created(&offer)).await;
    app.stripe.press(Button::Apply, &offer).unwrap();
    takes(&app, &event(&app, &offer, "accepted")).await;
    app.clock.advance(TimeDelta::minutes(1));
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "delivered".into());
    takes(&app, &app.stripe.announce("capital.financing_offer.created", &offer)).await;
    assert_eq!(status(&app, &offer).await, "accepted");
    let note: String = app
        .one("select note from timeline_entries where offer_id = $1 and what = 'offer.looked_at'", &offer)
        .await;
    assert_eq!(note, "Stripe says delivered; accepted stays");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_replacement_before_the_application_ends_the_old_offer_and_gets_no_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    for is_delivered in [false, true] {
        let old = if is_delivered { app.offer() } else { waiting(&app).await };
        if is_delivered {
            takes(&app, &app.created(&old)).await;
        }
        app.stripe.press(Button::Replace, &old).unwrap();
        let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
        takes(&app, &event(&app, &new, "replacement_created")).await;

        assert_eq!(
            (status(&app, &old).await.as_str(), status(&app, &new).await.as_str()),
            ("replaced", "delivered")
        );
        let letter = if is_delivered { ("sent", None) } else { ("withdrawn", Some("offer_replaced")) };
        app.expect_letter(&old, letter.0, letter.1).await;
        let letters: i64 = app.one("select count(*) from letters where offer_id = $1", &new).await;
        assert_eq!((letters, app.stripe.marked(&new)), (0, 0));
        let linked: String =
            app.one("select replacement_offer_id from financing_offers where offer_id = $1", &old).await;
        assert_eq!(linked, new);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_counteroffer_after_the_application_leaves_the_old_offer_rejected(db: PgPool) {
    let app = TestApp::start(db).await;
    let old = app.offer();
    takes(&app, &app.created(&old)).await;
    app.stripe.press(Button::Apply, &old).unwrap();
    app.stripe.press(Button::Counter, &old).unwrap();
    let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
    // The replacement is told of before the application is.
    takes(&app, &event(&app, &new, "replacement_created")).await;
    takes(&app, &event(&app, &old, "accepted")).await;
    assert_eq!(
        (status(&app, &old).await.as_str(), status(&app, &new).await.as_str()),
        ("rejected", "delivered")
    );
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_replacement_that_nobody_was_told_of_gets_a_letter_of_its_own(db: PgPool) {
    let app = TestApp::start(db).await;
    let old = app.offer();
    app.stripe.press(Button::Replace, &old).unwrap();
    let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
    app.stripe.edit_offer(&new, |offer| offer["status"] = "undelivered".into());
    takes(&app, &app.stripe.announce("capital.financing_offer.replacement_created", &new)).await;
    app.expect_delivered(&new).await;
    // The old one was never heard of before: the look that its replacement led to is what we know of it.
    assert_eq!(
        (status(&app, &old).await.as_str(), app.timeline(&old).await),
        ("replaced", vec!["offer.found".into()])
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn two_financings_at_once_are_two_offers_with_a_life_each(db: PgPool) {
    let app = TestApp::start(db).await;
    let first = app.offer();
    // In the UK, France and Germany a refill stands beside the financing that it refills.
    let account = app.stripe.offer(&first).unwrap()["account"].as_str().unwrap().to_owned();
    app.stripe.edit_account(&account, |account| account["country"] = "GB".into());
    takes(&app, &app.created(&first)).await;
    for button in [Button::Apply, Button::Approve] {
        app.stripe.press(button, &first).unwrap();
    }
    takes(&app, &event(&app, &first, "paid_out")).await;
    let refill = NewOffer { product_type: "refill".to_owned(), ..NewOffer::default() };
    let refill = app.stripe.create_offer(&account, &refill);
    takes(&app, &app.created(&refill)).await;
    app.expect_delivered(&refill).await;
    for button in [Button::Apply, Button::Approve] {
        app.stripe.press(button, &refill).unwrap();
    }
    takes(&app, &event(&app, &refill, "paid_out")).await;
    assert_eq!(
        (status(&app, &first).await.as_str(), status(&app, &refill).await.as_str()),
        ("paid_out", "paid_out")
    );
    app.stripe.press(Button::Repay, &first).unwrap();
    takes(&app, &event(&app, &first, "fully_repaid")).await;
    assert_eq!(
        (status(&app, &first).await.as_str(), status(&app, &refill).await.as_str()),
        ("fully_repaid", "paid_out")
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn terms_that_stripe_changes_in_place_are_in_the_letter_and_in_the_timeline(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = waiting(&app).await;
    app.clock.advance(TimeDelta::seconds(1));
    app.stripe.edit_offer(&offer, |offer| offer["offered_terms"]["advance_amount"] = 300_000.into());
    takes(&app, &app.stripe.announce("capital.financing_offer.created", &offer)).await;
    app.after(TimeDelta::minutes(1)).await;

    let letter = app.expect_delivered(&offer).await;
    assert!(letter.message().body_text(0).unwrap().contains("$3,000.00"));
    let note: String =
        app.one("select note from timeline_entries where offer_id = $1 and note like 'terms%'", &offer).await;
    assert_eq!(note, "terms changed: advance_amount 100000 -> 300000");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_event_whose_reason_cannot_be_written_down_does_not_hold_up_the_others(db: PgPool) {
    let app = TestApp::start(db).await;
    let (bad, good) = (app.offer(), app.offer());
    // Longer than an entry of an index may be, also when Postgres compresses it.
    let mut long = String::new();
    for n in 0..20_000_u64 {
        write!(long, "{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap();
    }
    for (id, field, value) in [("evt_nul", "account", "acct_\u{0}x".to_owned()), ("evt_long", "status", long)]
    {
        let mut event = app.created(&bad);
        event["id"] = id.into();
        event["data"]["object"][field] = value.into();
        app.stripe_sends(&event).await.expect_kept();
    }
    app.stripe_sends(&app.created(&good)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&good).await;
    let unreadable: i64 = app.one("select count(*) from inbox_events where state = $1", "unreadable").await;
    assert_eq!(unreadable, 2);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_end_that_is_written_down_after_stripe_was_asked_is_seen_before_the_letter_is_handed_over(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let offer = waiting(&app).await;
    // An event told of the end while the letter was with another worker, so it was not withdrawn; and Stripe's answer is an old one.
    sqlx::query("update financing_offers set status = 'expired', status_rank = 20 where offer_id = $1")
        .bind(&offer)
        .execute(&app.db)
        .await
        .unwrap();
    app.after(TimeDelta::minutes(1)).await;
    app.expect_letter(&offer, "withdrawn", Some("offer_expired")).await;
    app.expect_untouched(&offer).await;
    app.finish().await;
}
