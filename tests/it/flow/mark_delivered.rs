//! The report to Stripe that an offer was delivered, under every failure of Stripe and the network.

use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind};

use crate::support::TestApp;

async fn send_with_fault(app: &TestApp, path: &'static str, kind: FaultKind) -> String {
    let offer = app.offer();
    app.stripe.inject(Fault { method: "", path, times: 1, kind });
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    offer
}

fn answer(status: u16, code: &'static str) -> FaultKind {
    FaultKind::Error { status, code, headers: vec![] }
}

/// The distinct idempotency keys of the calls about this offer, in order.
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
async fn an_unknown_outcome_keeps_the_idempotency_key(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__TIMEOUT", "300ms")]).await;
    for kind in [
        FaultKind::DisconnectBefore,
        FaultKind::DisconnectAfter,
        FaultKind::Delay(std::time::Duration::from_millis(600)),
        FaultKind::MalformedBody,
        FaultKind::ProxyPage { status: 504, headers: vec![] },
        answer(409, "idempotency_key_in_use"),
    ] {
        let offer = send_with_fault(&app, "mark_delivered", kind.clone()).await;
        assert_eq!(app.delivery(&offer).await.0, "pending", "{kind:?}");
        app.after(TimeDelta::seconds(3)).await;
        app.expect_delivered(&offer).await;
        assert_eq!(keys(&app, &offer).len(), 1, "{kind:?}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_replayed_response_does_not_revert_the_offer(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = send_with_fault(&app, "mark_delivered", FaultKind::DisconnectAfter).await;
    // Stripe marked the offer, but the response was lost. The merchant applies before the retry.
    app.stripe.perform(Action::Apply, &offer).unwrap();
    app.stripe_sends(&app.event(&offer, "capital.financing_offer.accepted")).await.expect_kept();
    app.after(TimeDelta::seconds(3)).await;
    app.expect_status(&offer, "accepted").await;
    assert_eq!(app.delivery(&offer).await.0, "delivered");
    assert_eq!(keys(&app, &offer).len(), 1, "Stripe replayed its response");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_stored_failure_changes_the_idempotency_key(db: PgPool) {
    // Stripe replays a stored failure for a day.
    let app = TestApp::start(db).await;
    let offer = send_with_fault(&app, "mark_delivered", FaultKind::StoredError).await;
    app.after(TimeDelta::seconds(3)).await;
    app.expect_delivered(&offer).await;
    assert_eq!(
        keys(&app, &offer),
        [format!("mark_delivered:{offer}:1"), format!("mark_delivered:{offer}:2")]
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn retry_after_is_respected_to_the_second(db: PgPool) {
    let app = TestApp::start(db).await;
    // The limit is for one object, so other calls need not wait.
    let headers = vec![
        ("Retry-After", "90".to_owned()),
        ("Stripe-Rate-Limited-Reason", "resource-specific".to_owned()),
    ];
    let limit = FaultKind::Error { status: 429, code: "rate_limit", headers };
    let offer = send_with_fault(&app, "mark_delivered", limit).await;
    app.after(TimeDelta::seconds(89)).await;
    assert_eq!(app.stripe.delivered_marks(&offer), 0);
    app.after(TimeDelta::seconds(2)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_error_before_sending_loses_the_letter(db: PgPool) {
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
            let offer = send_with_fault(&app, path, kind.clone()).await;
            app.expect_letter(&offer, "waiting", None).await;
            assert_eq!(app.stripe.delivered_marks(&offer), 0);
            app.after(TimeDelta::minutes(6)).await;
            app.expect_delivered(&offer).await;
        }
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_delivered_by_another_party_counts_as_delivered(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    // Delivered elsewhere between the letter and our report: Stripe refuses the report, and the
    // offer itself shows why.
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

    let (state, note) = app.delivery(&offer).await;
    assert_eq!(state, "delivered");
    assert!(note.as_deref().is_some_and(|note| note.contains("accepted")), "{note:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_refused_report_about_an_ended_offer_needs_attention(db: PgPool) {
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

    assert_eq!(app.delivery(&offer).await.0, "refused");
    assert_eq!(app.dead_jobs("mark_delivered").await, 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_call_has_the_configured_version_and_no_account(db: PgPool) {
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
