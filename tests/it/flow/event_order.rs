//! Events late, doubled, out of order, within one second, and in contradiction; and what becomes of the letter meanwhile.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind, NewOffer};
use tokio::sync::Notify;

use crate::support::smtp::{Step, Trouble as SmtpTrouble};
use crate::support::{TestApp, day_one};

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
const ENDS: [(Action, &str, &str); 2] = [
    (Action::Expire, "expired", "offer_expired"),
    (Action::TakeOther, "accepted_other_offer", "offer_accepted_other_offer"),
];

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_that_ends_before_its_letter_is_sent_takes_the_letter_back(db: PgPool) {
    let app = TestApp::start(db).await;
    for (button, kind, reason) in ENDS {
        let offer = waiting(&app).await;
        app.stripe.perform(button, &offer).unwrap();
        // Not the next attempt but the event itself takes it back.
        app.stripe_sends(&event(&app, &offer, kind)).await.expect_kept();
        app.app.read_inbox().await.unwrap();
        app.expect_letter(&offer, "withdrawn", Some(reason)).await;
        app.after(TimeDelta::hours(1)).await;
        let note: Option<String> = app
            .one(
                "select note from timeline_entries where offer_id = $1 and kind = 'letter.withdrawn'",
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
        app.stripe.perform(Action::Expire, offer).unwrap();
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
        app.stripe.perform(button, &offer).unwrap();
        takes(&app, &event(&app, &offer, kind)).await;
        takes(&app, &created).await;
        let letters: i64 =
            app.one("select count(*) from letters where offer_id = $1", &offer).await;
        assert_eq!((letters, status(&app, &offer).await.as_str()), (0, kind));
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_that_ends_while_its_letter_is_handed_over_leaves_a_letter_and_no_mark(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    // The letter is sent; before Stripe is told, the offer ends.
    app.stripe.inject(Fault {
        method: "POST",
        path: "mark_delivered",
        times: 1,
        kind: FaultKind::DisconnectBefore,
    });
    takes(&app, &app.created(&offer)).await;
    app.stripe.perform(Action::Expire, &offer).unwrap();
    takes(&app, &event(&app, &offer, "expired")).await;
    app.after(TimeDelta::minutes(1)).await;

    app.expect_letter(&offer, "sent", None).await;
    let (state, note): (String, String) =
        sqlx::query_as("select state, note from deliveries where offer_id = $1")
            .bind(&offer)
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert_eq!((state.as_str(), app.stripe.delivered_marks(&offer)), ("refused", 0), "{note}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_end_after_the_delivery_is_followed_and_the_letter_stays_sent(db: PgPool) {
    let app = TestApp::start(db).await;
    let lives: [(&[Action], &str); 8] = [
        (&[Action::Expire], "expired"),
        (&[Action::TakeOther], "accepted_other_offer"),
        (&[Action::Apply], "accepted"),
        (&[Action::Apply, Action::Reject], "rejected"),
        (&[Action::Apply, Action::Cancel], "canceled"),
        (&[Action::Apply, Action::Approve], "paid_out"),
        (&[Action::Apply, Action::Approve, Action::Cancel], "canceled"),
        (&[Action::Apply, Action::Approve, Action::Repay], "fully_repaid"),
    ];
    for (buttons, last) in lives {
        let offer = app.offer();
        takes(&app, &app.created(&offer)).await;
        for button in buttons {
            app.stripe.perform(*button, &offer).unwrap();
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
        assert_eq!(app.stripe.delivered_marks(&offer), 1);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn of_two_ends_stripe_says_which_is_true(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    takes(&app, &app.created(&offer)).await;
    app.stripe.perform(Action::Apply, &offer).unwrap();
    app.stripe.perform(Action::Cancel, &offer).unwrap();
    // An event that says rejected, in the same second; Stripe itself says canceled.
    let mut rejected = another(&event(&app, &offer, "canceled"));
    rejected["type"] = "capital.financing_offer.rejected".into();
    rejected["data"]["object"]["status"] = "rejected".into();
    takes(&app, &rejected).await;
    assert_eq!(status(&app, &offer).await, "rejected");
    takes(&app, &event(&app, &offer, "canceled")).await;
    assert_eq!(status(&app, &offer).await, "canceled");
    let asked: String = app
        .one(
            "select note from timeline_entries where offer_id = $1 and kind like '%canceled'",
            &offer,
        )
        .await;
    assert!(asked.contains("asking Stripe"), "{asked}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_status_that_stripe_itself_takes_back_is_followed_and_noted(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    takes(&app, &app.created(&offer)).await;
    app.stripe.perform(Action::Apply, &offer).unwrap();
    takes(&app, &event(&app, &offer, "accepted")).await;
    app.clock.advance(TimeDelta::minutes(1));
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "delivered".into());
    takes(&app, &app.stripe.emit("capital.financing_offer.created", &offer)).await;
    assert_eq!(status(&app, &offer).await, "delivered");
    let note: String = app
        .one(
            "select note from timeline_entries where offer_id = $1 and kind = 'offer.looked_at'",
            &offer,
        )
        .await;
    assert_eq!(note, "known as accepted, reported as delivered");
    // The event of before, under another id, is late now and moves nothing.
    app.stripe_sends(&another(&event(&app, &offer, "accepted"))).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    assert_eq!(status(&app, &offer).await, "delivered");
    app.run_due_work().await;
    assert_eq!(status(&app, &offer).await, "delivered");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn in_whatever_order_a_cancellation_is_told_stripe_is_asked_and_its_answer_stands(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let kinds = ["accepted", "paid_out", "canceled"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        // Within one second, and a day apart.
        for apart in [TimeDelta::zero(), TimeDelta::hours(20)] {
            let offer = app.offer();
            takes(&app, &app.created(&offer)).await;
            for button in [Action::Apply, Action::Approve, Action::Cancel] {
                app.clock.advance(apart);
                app.stripe.perform(button, &offer).unwrap();
            }
            let mut is_canceled = false;
            for kind in order.map(|index| kinds[index]) {
                let event = event(&app, &offer, kind);
                for event in [another(&event), event] {
                    app.stripe_sends(&event).await.expect_kept();
                }
                app.app.read_inbox().await.unwrap();
                is_canceled |= kind == "canceled";
                assert_eq!(
                    status(&app, &offer).await == "canceled",
                    is_canceled,
                    "{order:?}, after {kind}"
                );
            }
            let looks = "select count(*) from jobs where kind = 'refresh_offer' and state = 'queued' and subject like $1 || '/%'";
            let looks: i64 = app.one(looks, &offer).await;
            assert!(looks > 0, "{order:?}: nobody asks Stripe");
            app.run_due_work().await;
            assert_eq!(status(&app, &offer).await, "canceled", "{order:?}");
            app.expect_letter(&offer, "sent", None).await;
            assert_eq!(app.stripe.delivered_marks(&offer), 1);
        }
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_cancellation_that_stripe_does_not_confirm_is_taken_back(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    takes(&app, &app.created(&offer)).await;
    for (button, kind) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
        app.stripe.perform(button, &offer).unwrap();
        takes(&app, &event(&app, &offer, kind)).await;
    }
    let mut canceled = another(&event(&app, &offer, "paid_out"));
    canceled["type"] = "capital.financing_offer.canceled".into();
    canceled["data"]["object"]["status"] = "canceled".into();
    // While Stripe does not answer, the page goes by the event: nothing is shown as owed.
    app.stripe.inject(Fault {
        method: "GET",
        path: "/v1/capital/financing_offers/",
        times: 1,
        kind: FaultKind::DisconnectBefore,
    });
    takes(&app, &canceled).await;
    assert_eq!(status(&app, &offer).await, "canceled");
    app.after(TimeDelta::minutes(1)).await;
    assert_eq!(status(&app, &offer).await, "paid_out");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reversal_of_the_payout_leads_to_a_look_though_no_event_says_canceled(db: PgPool) {
    let app = TestApp::start(db).await;
    for by_reconciliation in [false, true] {
        let offer = app.offer();
        takes(&app, &app.created(&offer)).await;
        for (button, kind) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
            app.stripe.perform(button, &offer).unwrap();
            takes(&app, &event(&app, &offer, kind)).await;
        }
        app.clock.advance(TimeDelta::minutes(5));
        app.stripe.perform(Action::Cancel, &offer).unwrap();
        let mut events = app.stripe.events();
        events.retain(|event| event["data"]["object"]["financing_offer"] == offer.as_str());
        app.stripe.clear_events();
        if by_reconciliation {
            // Not by an event: the list of the account's transactions tells.
            app.after(TimeDelta::hours(25)).await;
            app.app.read_transactions().await.unwrap();
            assert_eq!(status(&app, &offer).await, "paid_out");
            assert!(app.app.reconcile_now().await.unwrap());
            app.run_due_work().await;
        } else {
            for event in &events {
                app.stripe_sends(event).await.expect_kept();
            }
            app.run_due_work().await;
        }
        assert_eq!(
            status(&app, &offer).await,
            "canceled",
            "by reconciliation: {by_reconciliation}"
        );
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_end_that_stripe_takes_back_opens_the_letter_that_was_never_opened_and_no_other(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let withdrawn = waiting(&app).await;
    let unopened = app.offer();
    for offer in [&withdrawn, &unopened] {
        let created = app.created(offer);
        app.stripe.perform(Action::Expire, offer).unwrap();
        takes(&app, &event(&app, offer, "expired")).await;
        assert_eq!(status(&app, offer).await, "expired");
        // A late event opens nothing.
        takes(&app, &another(&created)).await;
        assert_eq!(status(&app, offer).await, "expired");
    }
    app.clock.advance(TimeDelta::minutes(1));
    for offer in [&withdrawn, &unopened] {
        app.stripe.edit_offer(offer, |offer| offer["status"] = "undelivered".into());
    }
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_delivered(&unopened).await;
    app.expect_letter(&withdrawn, "withdrawn", Some("offer_expired")).await;
    assert_eq!(
        (status(&app, &withdrawn).await.as_str(), app.stripe.delivered_marks(&withdrawn)),
        ("undelivered", 0)
    );
    let note: String = app
        .one(
            "select note from timeline_entries where offer_id = $1 and kind = 'offer.looked_at'
             order by timeline_entry_id desc limit 1",
            &withdrawn,
        )
        .await;
    assert!(note.contains("a withdrawn letter stays withdrawn"), "{note}");
    app.finish().await;
}

/// A Stripe that says of every offer what it is told to, and whose first answer is held back until
/// somebody lets it go.
async fn slow_stripe(answers: Vec<Value>) -> (String, Arc<Notify>, Arc<Notify>, Arc<AtomicUsize>) {
    let (asked, go, count) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let state = (asked.clone(), go.clone(), count.clone());
    let answer = move |request: Request| {
        let ((asked, go, count), answers) = (state.clone(), answers.clone());
        async move {
            if !request.uri().path().starts_with("/v1/capital/financing_offers/") {
                return axum::Json(
                    serde_json::json!({"object": "list", "data": [], "has_more": false}),
                );
            }
            let number = count.fetch_add(1, Ordering::SeqCst);
            if number == 0 {
                asked.notify_one();
                go.notified().await;
            }
            axum::Json(answers[number.min(answers.len() - 1)].clone())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Its clock is the test's.
    let date = day_one().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let dated = move |mut answer: axum::response::Response| {
        answer.headers_mut().insert("Date", date.parse().unwrap());
        async move { answer }
    };
    let router = axum::Router::new().fallback(answer).layer(axum::middleware::map_response(dated));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked, go, count)
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_answer_that_is_older_than_an_event_that_came_meanwhile_is_asked_for_again(db: PgPool) {
    let object = |status: &str| serde_json::json!({"id": "financingoffer_1", "account": "acct_1", "created": 1, "livemode": false, "status": status});
    let told = |number: u32, status: &str, at: DateTime<Utc>| {
        serde_json::json!({
            "id": format!("evt_{number}"), "object": "event", "created": at.timestamp(), "livemode": false,
            "type": format!("capital.financing_offer.{status}"), "data": {"object": object(status)},
        })
    };
    let (url, asked, go, count) = slow_stripe(vec![object("accepted"), object("paid_out")]).await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", &url)]).await;
    app.stripe_sends(&told(1, "accepted", day_one())).await.expect_kept();
    app.run_due_work().await;
    // A contradiction, which has Stripe asked. It looks, and says accepted; before we hear that,
    // the offer is paid out.
    app.stripe_sends(&told(2, "expired", day_one())).await.expect_kept();
    let meanwhile = async {
        asked.notified().await;
        app.stripe_sends(&told(3, "paid_out", day_one())).await.expect_kept();
        app.app.read_inbox().await.unwrap();
        assert_eq!(status(&app, "financingoffer_1").await, "paid_out");
        go.notify_one();
    };
    tokio::join!(app.run_due_work(), meanwhile);
    app.run_due_work().await;
    assert_eq!(
        (status(&app, "financingoffer_1").await.as_str(), count.load(Ordering::SeqCst)),
        ("paid_out", 2)
    );
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
        app.stripe.perform(Action::Replace, &old).unwrap();
        let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
        takes(&app, &event(&app, &new, "replacement_created")).await;

        assert_eq!(
            (status(&app, &old).await.as_str(), status(&app, &new).await.as_str()),
            ("replaced", "delivered")
        );
        let letter =
            if is_delivered { ("sent", None) } else { ("withdrawn", Some("offer_replaced")) };
        app.expect_letter(&old, letter.0, letter.1).await;
        let letters: i64 = app.one("select count(*) from letters where offer_id = $1", &new).await;
        assert_eq!((letters, app.stripe.delivered_marks(&new)), (0, 0));
        let linked: String = app
            .one("select replacement_offer_id from financing_offers where offer_id = $1", &old)
            .await;
        assert_eq!(linked, new);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_counteroffer_after_the_application_leaves_the_old_offer_rejected(db: PgPool) {
    let app = TestApp::start(db).await;
    let old = app.offer();
    takes(&app, &app.created(&old)).await;
    app.stripe.perform(Action::Apply, &old).unwrap();
    app.stripe.perform(Action::Counter, &old).unwrap();
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
    app.stripe.perform(Action::Replace, &old).unwrap();
    let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
    app.stripe.edit_offer(&new, |offer| offer["status"] = "undelivered".into());
    takes(&app, &app.stripe.emit("capital.financing_offer.replacement_created", &new)).await;
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
    for button in [Action::Apply, Action::Approve] {
        app.stripe.perform(button, &first).unwrap();
    }
    takes(&app, &event(&app, &first, "paid_out")).await;
    let refill = NewOffer { product_type: "refill".to_owned(), ..NewOffer::default() };
    let refill = app.stripe.create_offer(&account, &refill);
    takes(&app, &app.created(&refill)).await;
    app.expect_delivered(&refill).await;
    for button in [Action::Apply, Action::Approve] {
        app.stripe.perform(button, &refill).unwrap();
    }
    takes(&app, &event(&app, &refill, "paid_out")).await;
    assert_eq!(
        (status(&app, &first).await.as_str(), status(&app, &refill).await.as_str()),
        ("paid_out", "paid_out")
    );
    app.stripe.perform(Action::Repay, &first).unwrap();
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
    app.stripe
        .edit_offer(&offer, |offer| offer["offered_terms"]["advance_amount"] = 300_000.into());
    takes(&app, &app.stripe.emit("capital.financing_offer.created", &offer)).await;
    app.after(TimeDelta::minutes(1)).await;

    let letter = app.expect_delivered(&offer).await;
    assert!(letter.message().body_text(0).unwrap().contains("$3,000.00"));
    let note: String = app
        .one("select note from timeline_entries where offer_id = $1 and note like 'terms%'", &offer)
        .await;
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
    for (id, field, value) in
        [("evt_nul", "account", "acct_\u{0}x".to_owned()), ("evt_long", "status", long)]
    {
        let mut event = app.created(&bad);
        event["id"] = id.into();
        event["data"]["object"][field] = value.into();
        app.stripe_sends(&event).await.expect_kept();
    }
    app.stripe_sends(&app.created(&good)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&good).await;
    let unreadable: i64 =
        app.one("select count(*) from inbox_events where state = $1", "unreadable").await;
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
    sqlx::query("update financing_offers set status = 'expired' where offer_id = $1")
        .bind(&offer)
        .execute(&app.db)
        .await
        .unwrap();
    app.after(TimeDelta::minutes(1)).await;
    app.expect_letter(&offer, "withdrawn", Some("offer_expired")).await;
    app.expect_untouched(&offer).await;
    app.finish().await;
}
