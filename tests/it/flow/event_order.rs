//! Events that are late, duplicated, out of order, within one second or contradictory, and their
//! effect on the letter.

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

async fn receive(app: &TestApp, event: &Value) {
    app.stripe_sends(event).await.expect_kept();
    app.run_due_work().await;
}

/// The latest event of a kind about an offer.
fn event(app: &TestApp, offer: &str, kind: &str) -> Value {
    app.event(offer, &format!("capital.financing_offer.{kind}"))
}

/// Another event for the same change.
fn another(event: &Value) -> Value {
    let mut another = event.clone();
    another["id"] = format!("{}_again", event["id"].as_str().unwrap()).into();
    another
}

/// An offer whose letter waits because the relay deferred it.
async fn waiting(app: &TestApp) -> String {
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
    receive(app, &app.created(&offer)).await;
    app.expect_letter(&offer, "waiting", None).await;
    offer
}

/// The actions that end an undelivered offer, with the event and the letter's reason.
const ENDS: [(Action, &str, &str); 2] = [
    (Action::Expire, "expired", "offer_expired"),
    (Action::TakeOther, "accepted_other_offer", "offer_accepted_other_offer"),
];

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_ended_offer_withdraws_its_waiting_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    for (action, kind, reason) in ENDS {
        let offer = waiting(&app).await;
        app.stripe.perform(action, &offer).unwrap();
        // The event itself withdraws the letter, not the next attempt.
        app.stripe_sends(&event(&app, &offer, kind)).await.expect_kept();
        app.app.read_inbox().await.unwrap();
        app.expect_letter(&offer, "withdrawn", Some(reason)).await;
        app.after(TimeDelta::hours(1)).await;
        let note = app.timeline_note(&offer, "letter.withdrawn").await;
        assert_eq!(note.as_deref(), Some(reason));
        app.expect_untouched(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_ended_offer_withdraws_a_held_letter_unless_uncertain(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let without_address = app.offer_to(None);
    receive(&app, &app.created(&without_address)).await;
    app.expect_letter(&without_address, "held", Some("no_recipient")).await;
    let uncertain = app.offer();
    app.relay.fail(Step::Dot, SmtpTrouble::TakeAndDrop, 1);
    receive(&app, &app.created(&uncertain)).await;
    for offer in [&without_address, &uncertain] {
        app.stripe.perform(Action::Expire, offer).unwrap();
        receive(&app, &event(&app, offer, "expired")).await;
    }
    app.expect_letter(&without_address, "withdrawn", Some("offer_expired")).await;
    app.expect_letter(&uncertain, "held", Some("uncertain")).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_end_received_before_created_opens_no_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    for (action, kind, _) in ENDS {
        let offer = app.offer();
        let created = app.created(&offer);
        app.stripe.perform(action, &offer).unwrap();
        receive(&app, &event(&app, &offer, kind)).await;
        receive(&app, &created).await;
        app.expect_no_letter(&offer).await;
        app.expect_status(&offer, kind).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_that_ends_after_sending_is_not_marked_delivered(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    // The offer ends after the letter is sent and before Stripe is told.
    app.stripe.inject(Fault {
        method: "POST",
        path: "mark_delivered",
        times: 1,
        kind: FaultKind::DisconnectBefore,
    });
    receive(&app, &app.created(&offer)).await;
    app.stripe.perform(Action::Expire, &offer).unwrap();
    receive(&app, &event(&app, &offer, "expired")).await;
    app.after(TimeDelta::minutes(1)).await;

    app.expect_letter(&offer, "sent", None).await;
    let (state, note) = app.delivery(&offer).await;
    assert_eq!((state.as_str(), app.stripe.delivered_marks(&offer)), ("refused", 0), "{note:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_end_after_delivery_updates_only_the_status(db: PgPool) {
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
    for (actions, last) in lives {
        let offer = app.offer();
        receive(&app, &app.created(&offer)).await;
        for action in actions {
            app.stripe.perform(*action, &offer).unwrap();
        }
        // All at once, the latest first.
        let mut events = app.stripe.events();
        events.retain(|event| event["data"]["object"]["id"] == offer.as_str());
        for event in events.iter().rev() {
            app.stripe_sends(event).await.expect_kept();
            app.stripe_sends(&another(event)).await.expect_kept();
        }
        app.run_due_work().await;
        app.expect_status(&offer, last).await;
        app.expect_letter(&offer, "sent", None).await;
        assert_eq!(app.stripe.delivered_marks(&offer), 1);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn contradictory_ends_are_resolved_by_asking_stripe(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    receive(&app, &app.created(&offer)).await;
    app.stripe.perform(Action::Apply, &offer).unwrap();
    app.stripe.perform(Action::Cancel, &offer).unwrap();
    // An event reports `rejected` in the same second; Stripe itself says `canceled`.
    let mut rejected = another(&event(&app, &offer, "canceled"));
    rejected["type"] = "capital.financing_offer.rejected".into();
    rejected["data"]["object"]["status"] = "rejected".into();
    receive(&app, &rejected).await;
    app.expect_status(&offer, "rejected").await;
    receive(&app, &event(&app, &offer, "canceled")).await;
    app.expect_status(&offer, "canceled").await;
    let note = app.timeline_note(&offer, "canceled").await.unwrap();
    assert!(note.contains("asking Stripe"), "{note}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_status_that_stripe_reverts_is_followed_and_noted(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    receive(&app, &app.created(&offer)).await;
    app.stripe.perform(Action::Apply, &offer).unwrap();
    receive(&app, &event(&app, &offer, "accepted")).await;
    app.clock.advance(TimeDelta::minutes(1));
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "delivered".into());
    receive(&app, &app.stripe.emit("capital.financing_offer.created", &offer)).await;
    app.expect_status(&offer, "delivered").await;
    let note = app.timeline_note(&offer, "offer.looked_at").await;
    assert_eq!(note.as_deref(), Some("known as accepted, reported as delivered"));
    // The earlier event, under another id, is now late and changes nothing.
    app.stripe_sends(&another(&event(&app, &offer, "accepted"))).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    app.expect_status(&offer, "delivered").await;
    app.run_due_work().await;
    app.expect_status(&offer, "delivered").await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_cancellation_is_confirmed_by_stripe_in_any_order(db: PgPool) {
    let app = TestApp::start(db).await;
    let kinds = ["accepted", "paid_out", "canceled"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        // Within one second, and far apart.
        for apart in [TimeDelta::zero(), TimeDelta::hours(20)] {
            let offer = app.offer();
            receive(&app, &app.created(&offer)).await;
            for action in [Action::Apply, Action::Approve, Action::Cancel] {
                app.clock.advance(apart);
                app.stripe.perform(action, &offer).unwrap();
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
                    app.offer_status(&offer).await == "canceled",
                    is_canceled,
                    "{order:?}, after {kind}"
                );
            }
            let refreshes: i64 = app
                .one(
                    "select count(*) from jobs
                     where kind = 'refresh_offer' and state = 'queued' and subject like $1 || '/%'",
                    &offer,
                )
                .await;
            assert!(refreshes > 0, "{order:?}: no refresh is queued");
            app.run_due_work().await;
            app.expect_status(&offer, "canceled").await;
            app.expect_letter(&offer, "sent", None).await;
            assert_eq!(app.stripe.delivered_marks(&offer), 1);
        }
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unconfirmed_cancellation_is_reverted(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    receive(&app, &app.created(&offer)).await;
    for (action, kind) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
        app.stripe.perform(action, &offer).unwrap();
        receive(&app, &event(&app, &offer, kind)).await;
    }
    let mut canceled = another(&event(&app, &offer, "paid_out"));
    canceled["type"] = "capital.financing_offer.canceled".into();
    canceled["data"]["object"]["status"] = "canceled".into();
    // While Stripe does not respond, the event decides.
    app.stripe.inject(Fault {
        method: "GET",
        path: "/v1/capital/financing_offers/",
        times: 1,
        kind: FaultKind::DisconnectBefore,
    });
    receive(&app, &canceled).await;
    app.expect_status(&offer, "canceled").await;
    app.after(TimeDelta::minutes(1)).await;
    app.expect_status(&offer, "paid_out").await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reversed_payout_refreshes_the_offer_without_an_event(db: PgPool) {
    let app = TestApp::start(db).await;
    for by_reconciliation in [false, true] {
        let offer = app.offer();
        receive(&app, &app.created(&offer)).await;
        for (action, kind) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
            app.stripe.perform(action, &offer).unwrap();
            receive(&app, &event(&app, &offer, kind)).await;
        }
        app.clock.advance(TimeDelta::minutes(5));
        app.stripe.perform(Action::Cancel, &offer).unwrap();
        let mut events = app.stripe.events();
        events.retain(|event| event["data"]["object"]["financing_offer"] == offer.as_str());
        app.stripe.clear_events();
        if by_reconciliation {
            // No event arrives: the list of the account's transactions shows the reversal.
            app.after(TimeDelta::hours(25)).await;
            app.app.read_transactions().await.unwrap();
            app.expect_status(&offer, "paid_out").await;
            assert!(app.app.reconcile_now().await.unwrap());
            app.run_due_work().await;
        } else {
            for event in &events {
                app.stripe_sends(event).await.expect_kept();
            }
            app.run_due_work().await;
        }
        app.expect_status(&offer, "canceled").await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reverted_end_opens_only_a_letter_never_opened(db: PgPool) {
    let app = TestApp::start(db).await;
    let withdrawn = waiting(&app).await;
    let unopened = app.offer();
    for offer in [&withdrawn, &unopened] {
        let created = app.created(offer);
        app.stripe.perform(Action::Expire, offer).unwrap();
        receive(&app, &event(&app, offer, "expired")).await;
        app.expect_status(offer, "expired").await;
        // A late event opens nothing.
        receive(&app, &another(&created)).await;
        app.expect_status(offer, "expired").await;
    }
    app.clock.advance(TimeDelta::minutes(1));
    for offer in [&withdrawn, &unopened] {
        app.stripe.edit_offer(offer, |offer| offer["status"] = "undelivered".into());
    }
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_delivered(&unopened).await;
    app.expect_letter(&withdrawn, "withdrawn", Some("offer_expired")).await;
    app.expect_status(&withdrawn, "undelivered").await;
    assert_eq!(app.stripe.delivered_marks(&withdrawn), 0);
    let note = app.timeline_note(&withdrawn, "offer.looked_at").await.unwrap();
    assert!(note.contains("a withdrawn letter stays withdrawn"), "{note}");
    app.finish().await;
}

/// A server that returns these objects for any offer, one per request. The first response waits for
/// the second `Notify`; the first `Notify` reports its request. Also counts the requests.
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
    // Dated by the test's clock, or the service would see a clock difference.
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
async fn a_response_older_than_a_new_event_is_discarded(db: PgPool) {
    let object = |status: &str| {
        serde_json::json!({
            "id": "financingoffer_1", "account": "acct_1", "created": 1, "livemode": false,
            "status": status,
        })
    };
    let event = |number: u32, status: &str, at: DateTime<Utc>| {
        serde_json::json!({
            "id": format!("evt_{number}"), "object": "event", "created": at.timestamp(),
            "livemode": false, "type": format!("capital.financing_offer.{status}"),
            "data": {"object": object(status)},
        })
    };
    let (url, asked, go, count) = slow_stripe(vec![object("accepted"), object("paid_out")]).await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", &url)]).await;
    app.stripe_sends(&event(1, "accepted", day_one())).await.expect_kept();
    app.run_due_work().await;
    // A contradiction queues a refresh. Stripe responds `accepted`; before that response is
    // applied, the offer is paid out.
    app.stripe_sends(&event(2, "expired", day_one())).await.expect_kept();
    let meanwhile = async {
        asked.notified().await;
        app.stripe_sends(&event(3, "paid_out", day_one())).await.expect_kept();
        app.app.read_inbox().await.unwrap();
        app.expect_status("financingoffer_1", "paid_out").await;
        go.notify_one();
    };
    tokio::join!(app.run_due_work(), meanwhile);
    app.run_due_work().await;
    app.expect_status("financingoffer_1", "paid_out").await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_delivered_replacement_ends_the_old_offer_without_a_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    for is_delivered in [false, true] {
        let old = if is_delivered { app.offer() } else { waiting(&app).await };
        if is_delivered {
            receive(&app, &app.created(&old)).await;
        }
        app.stripe.perform(Action::Replace, &old).unwrap();
        let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
        receive(&app, &event(&app, &new, "replacement_created")).await;

        app.expect_status(&old, "replaced").await;
        app.expect_status(&new, "delivered").await;
        let letter =
            if is_delivered { ("sent", None) } else { ("withdrawn", Some("offer_replaced")) };
        app.expect_letter(&old, letter.0, letter.1).await;
        app.expect_no_letter(&new).await;
        assert_eq!(app.stripe.delivered_marks(&new), 0);
        let linked: String = app
            .one("select replacement_offer_id from financing_offers where offer_id = $1", &old)
            .await;
        assert_eq!(linked, new);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_counteroffer_leaves_the_old_offer_rejected(db: PgPool) {
    let app = TestApp::start(db).await;
    let old = app.offer();
    receive(&app, &app.created(&old)).await;
    app.stripe.perform(Action::Apply, &old).unwrap();
    app.stripe.perform(Action::Counter, &old).unwrap();
    let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
    // The replacement is reported before the application.
    receive(&app, &event(&app, &new, "replacement_created")).await;
    receive(&app, &event(&app, &old, "accepted")).await;
    app.expect_status(&old, "rejected").await;
    app.expect_status(&new, "delivered").await;
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_undelivered_replacement_gets_its_own_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let old = app.offer();
    app.stripe.perform(Action::Replace, &old).unwrap();
    let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
    app.stripe.edit_offer(&new, |offer| offer["status"] = "undelivered".into());
    receive(&app, &app.stripe.emit("capital.financing_offer.replacement_created", &new)).await;
    app.expect_delivered(&new).await;
    // No event mentions the old offer: only the refresh that its replacement queued finds it.
    app.expect_status(&old, "replaced").await;
    assert_eq!(app.timeline(&old).await, ["offer.found"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn two_concurrent_financings_have_independent_statuses(db: PgPool) {
    let app = TestApp::start(db).await;
    let first = app.offer();
    // In the UK, France and Germany a refill runs beside the earlier financing.
    let account = app.stripe.offer(&first).unwrap()["account"].as_str().unwrap().to_owned();
    app.stripe.edit_account(&account, |account| account["country"] = "GB".into());
    receive(&app, &app.created(&first)).await;
    for action in [Action::Apply, Action::Approve] {
        app.stripe.perform(action, &first).unwrap();
    }
    receive(&app, &event(&app, &first, "paid_out")).await;
    let refill = NewOffer { product_type: "refill".to_owned(), ..NewOffer::default() };
    let refill = app.stripe.create_offer(&account, &refill);
    receive(&app, &app.created(&refill)).await;
    app.expect_delivered(&refill).await;
    for action in [Action::Apply, Action::Approve] {
        app.stripe.perform(action, &refill).unwrap();
    }
    receive(&app, &event(&app, &refill, "paid_out")).await;
    app.expect_status(&first, "paid_out").await;
    app.expect_status(&refill, "paid_out").await;
    app.stripe.perform(Action::Repay, &first).unwrap();
    receive(&app, &event(&app, &first, "fully_repaid")).await;
    app.expect_status(&first, "fully_repaid").await;
    app.expect_status(&refill, "paid_out").await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn terms_changed_in_place_reach_letter_and_timeline(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = waiting(&app).await;
    app.clock.advance(TimeDelta::seconds(1));
    app.stripe
        .edit_offer(&offer, |offer| offer["offered_terms"]["advance_amount"] = 300_000.into());
    receive(&app, &app.stripe.emit("capital.financing_offer.created", &offer)).await;
    app.after(TimeDelta::minutes(1)).await;

    let letter = app.expect_delivered(&offer).await;
    assert!(letter.message().body_text(0).unwrap().contains("$3,000.00"));
    let note = app.timeline_note(&offer, "financing_offer.created").await;
    assert_eq!(note.as_deref(), Some("terms changed: advance_amount 100000 -> 300000"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unstorable_event_does_not_block_the_others(db: PgPool) {
    let app = TestApp::start(db).await;
    let (bad, good) = (app.offer(), app.offer());
    // Longer than an index entry may be, even compressed.
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
    assert_eq!(app.events_in_state("unreadable").await, 2);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_end_stored_after_the_check_still_stops_the_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = waiting(&app).await;
    // As if an event had reported the end while another worker held the letter, which is then not
    // withdrawn. Stripe still says `undelivered`.
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
