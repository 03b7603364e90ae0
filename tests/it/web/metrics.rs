//! `GET /metrics`.

use axum::body::Body;
use axum::http::Request;
use capital_courier::clock::Clock;
use capital_courier::queue::{self, Circuit};
use capital_courier::web::feedback::ReportCounts;
use capital_courier::web::ops;
use http_body_util::BodyExt;
use sqlx::PgPool;

use crate::support::TestApp;

async fn scrape(db: &PgPool, circuits: &[Circuit]) -> String {
    let router = ops::metrics(ops::Sources {
        db: db.clone().into(),
        clock: Clock::system(),
        circuits: circuits.to_vec(),
        reports: ReportCounts::default(),
    });
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(response.status(), 200);
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn metrics_for_alerts_are_exported(db: PgPool) {
    let app = TestApp::start(db).await;
    let circuits = ["stripe", "relay"].map(|name| Circuit::new(name, Clock::system()));
    let before = scrape(&app.db, &circuits).await;
    for line in [
        "courier_last_event_timestamp_seconds 0",
        "courier_last_complete_reconciliation_timestamp_seconds 0",
        "courier_jobs_dead 0",
        "courier_accounts_differing 0",
        "courier_transactions_unreadable 0",
        "courier_circuit_open{circuit=\"relay\"} 0",
    ] {
        assert!(before.lines().any(|exported| exported == line), "no `{line}` in:\n{before}");
    }
    app.stripe_sends(&app.created(&app.offer())).await.expect_kept();
    app.run_due_work().await;
    app.app.reconcile_now().await.unwrap();
    circuits[1].failed_for_all();
    queue::enqueue(&app.db, "test", "a", app.clock.now()).await.unwrap();
    sqlx::query("update jobs set state = 'dead', finished_at = due_at where kind = 'test'")
        .execute(&app.db)
        .await
        .unwrap();
    let after = scrape(&app.db, &circuits).await;
    let now = app.clock.now().timestamp();
    for line in [
        format!("courier_last_event_timestamp_seconds {now}"),
        format!("courier_last_complete_reconciliation_timestamp_seconds {now}"),
        "courier_jobs_dead 1".to_owned(),
        "courier_circuit_open{circuit=\"relay\"} 1".to_owned(),
        "courier_circuit_open{circuit=\"stripe\"} 0".to_owned(),
    ] {
        assert!(after.lines().any(|exported| exported == line), "no `{line}` in:\n{after}");
    }
    app.finish().await;
}
