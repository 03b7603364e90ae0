//! Telling Stripe, through everything that Stripe and the way to it can do.

use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind};

use crate::support::TestApp;

async fn sent_into_fault(app: &TestApp, path: &'static str, kind: FaultKind) -> String {
    let offer = app.offer();
    app.stripe.inject(Fault { method: "", path, times: 1, kind });
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    offer
}

fn answer(status: u16, code: &'static str) -> FaultKind {
    FaultKind::Error { status, code, headers: vec![] }
}

/// The distinct keys of the calls that marked this offer, in order.
fn keys(app: &TestApp, offer: &str) -> Vec<String> {
    let mut keys: Vec<String> = app
        .calls_to_mark()
        .into_iter()
        .filter(|call| call.path.contains(offer))
        .filter_map(|call| call.idempotency_key)
        .collect();
    keys.dedup();
    keys
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn while_the_outcome_is_unknown_the_key_stays_the_same(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__TIMEOUT", "300ms")]).await;
    for kind in [
        FaultKind::DisconnectBefore,
        FaultKind::DisconnectAfter,
        FaultKind::Delay(std::time::Duration::from_millis(600)),
        FaultKind::MalformedBody,
        FaultKind::ProxyPage { status: 504, headers: vec![] },
        answer(409, "idempotency_key_in_use"),
    ] {
        let offer = sent_into_fault(&app, "mark_delivered", kind.clone()).await;
        let owed: String =
            app.one("select state from deliveries where offer_id = $1", &offer).await;
        assert_eq!(owed, "pending", "{kind:?}");
        app.after(TimeDelta::seconds(3)).await;
        app.expect_delivered(&offer).await;
        assert_eq!(keys(&app, &offer).len(), 1, "{kind:?}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_answer_that_stripe_repeats_does_not_take_an_offer_back(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = sent_into_fault(&app, "mark_delivered", FaultKind::DisconnectAfter).await;
    // Marked, which we did not hear. The merchant applies before the second try.
    app.stripe.perform(Action::Apply, &offer).unwrap();
    app.stripe_sends(&app.event(&offer, "capital.financing_offer.accepted")).await.expect_kept();
    app.after(TimeDelta::seconds(3)).await;
    let status: String =
        app.one("select status from financing_offers where offer_id = $1", &offer).await;
    let delivery: String =
        app.one("select state from deliveries where offer_id = $1", &offer).await;
    assert_eq!((status.as_str(), delivery.as_str()), ("accepted", "delivered"));
    assert_eq!(keys(&app, &offer).len(), 1, "Stripe answered from its memory");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_an_answered_failure_the_key_changes_because_stripe_repeats_the_failure_for_a_day(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let offer = sent_into_fault(&app, "mark_delivered", FaultKind::StoredError).await;
    app.after(TimeDelta::seconds(3)).await;
    app.expect_delivered(&offer).await;
    assert_eq!(
        keys(&app, &offer),
        [format!("mark_delivered:{offer}:1"), format!("mark_delivered:{offer}:2")]
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn stripes_limit_is_honoured_to_the_second(db: PgPool) {
    let app = TestApp::start(db).await;
    // Stripe names a single object, so nobody else has to wait.
    let headers = vec![
        ("Retry-After", "90".to_owned()),
        ("Stripe-Rate-Limited-Reason", "resource-specific".to_owned()),
    ];
    let limit = FaultKind::Error { status: 429, code: "rate_limit", headers };
    let offer = sent_into_fault(&app, "mark_delivered", limit).await;
    app.after(TimeDelta::seconds(89)).await;
    assert_eq!(app.stripe.delivered_marks(&offer), 0);
    app.after(TimeDelta::seconds(2)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn whatever_stripe_answers_before_the_letter_nothing_is_lost(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__TIMEOUT", "300ms")]).await;
    for path in ["/v1/capital/financing_offers/", "/v1/accounts/"] {
        for kind in [
            answer(401, "invalid_api_key"),
            answer(403, "permission"),
            answer(409, "lock_timeout"),
            answer(429, "rate_limit"),
            answer(500, "api_error"),
            answer(503, "api_error"),
            FaultKind::MalformedBody,
            FaultKind::DisconnectBefore,
            FaultKind::Delay(std::time::Duration::from_millis(600)),
        ] {
            let offer = sent_into_fault(&app, path, kind.clone()).await;
            app.expect_letter(&offer, "waiting", None).await;
            assert_eq!(app.stripe.delivered_marks(&offer), 0);
            app.after(TimeDelta::minutes(6)).await;
            app.expect_delivered(&offer).await;
        }
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_that_somebody_else_delivered_meanwhile_counts_as_delivered(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    // Between the letter and the mark: the mark is refused, and a look at the offer shows why.
    app.stripe.inject(Fault {
        method: "POST",
        path: "mark_delivered",
        times: 1,
        kind: FaultKind::DisconnectBefore,
    });
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "delivered".into());
    app.stripe.perform(Action::Apply, &offer).unwrap();
    app.after(TimeDelta::seconds(3)).await;

    let (state, note): (String, String) =
        sqlx::query_as("select state, note from deliveries where offer_id = $1")
            .bind(&offer)
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert_eq!(state, "delivered");
    assert!(note.contains("accepted"), "{note}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_mark_that_stripe_refuses_for_an_offer_that_is_gone_is_for_a_person(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe.inject(Fault {
        method: "POST",
        path: "mark_delivered",
        times: 1,
        kind: FaultKind::DisconnectBefore,
    });
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.stripe.perform(Action::Expire, &offer).unwrap();
    app.after(TimeDelta::seconds(3)).await;

    let state: String = app.one("select state from deliveries where offer_id = $1", &offer).await;
    assert_eq!(state, "refused");
    let dead: i64 = app
        .one("select count(*) from jobs where kind = $1 and state = 'dead'", "mark_delivered")
        .await;
    assert_eq!(dead, 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_call_is_made_as_stripe_wants_it(db: PgPool) {
    let app =
        TestApp::start_with(db, &[("COURIER_STRIPE__API_VERSION", "2025-09-30.preview")]).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    let call = app.calls_to_mark().remove(0);
    assert_eq!(call.stripe_version.as_deref(), Some("2025-09-30.preview"));
    assert_eq!((call.stripe_account, call.status), (None, Some(200)));
    app.expect_delivered(&offer).await;
    app.finish().await;
}
