//! Something between us and Stripe answers in Stripe's place: a captive portal, a proxy, a load balancer.

use capital_courier::queue;
use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind};

use crate::support::TestApp;

/// What such things answer with, and nothing of which is Stripe's word.
const STATUSES: [u16; 14] = [301, 302, 307, 400, 401, 404, 405, 407, 410, 413, 421, 429, 451, 502];

fn page(status: u16) -> FaultKind {
    // Headers that would count in an answer of Stripe's.
    let headers = [
        ("Location", "https://portal.example/login"),
        ("Stripe-Should-Retry", "false"),
        ("Retry-After", "3600"),
    ];
    FaultKind::ProxyPage {
        status,
        headers: headers.map(|(name, value)| (name, value.to_owned())).into(),
    }
}

async fn states(app: &TestApp) -> Vec<(String, String)> {
    sqlx::query_as(
        "select kind, state from jobs
         where state <> 'done' and kind in ('send_letter', 'mark_delivered', 'refresh_offer') order by 1, 2",
    )
    .fetch_all(&app.db)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_page_in_place_of_stripes_answer_costs_a_moment_and_no_letter_and_no_mark(db: PgPool) {
    let app = TestApp::start(db).await;
    for (path, left) in [
        ("/v1/capital/financing_offers/", "send_letter"),
        ("/v1/accounts/", "send_letter"),
        ("/mark_delivered", "mark_delivered"),
    ] {
        for status in STATUSES {
            let offer = app.offer();
            app.stripe.inject(Fault { method: "", path, times: 1, kind: page(status) });
            app.stripe_sends(&app.created(&offer)).await.expect_kept();
            app.run_due_work().await;
            assert_eq!(
                states(&app).await,
                [(left.to_owned(), "queued".to_owned())],
                "{path} {status}"
            );
            app.after(TimeDelta::seconds(5)).await;
            app.expect_delivered(&offer).await;
        }
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_page_with_404_does_not_mean_that_stripe_does_not_know_an_offer(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    queue::enqueue(&app.db, "refresh_offer", &format!("{offer}/reconcile"), app.clock.now())
        .await
        .unwrap();
    app.stripe.inject(Fault {
        method: "",
        path: "/v1/capital/financing_offers/",
        times: 1,
        kind: page(404),
    });
    app.run_due_work().await;
    assert_eq!(states(&app).await, [("refresh_offer".to_owned(), "queued".to_owned())]);
    app.after(TimeDelta::seconds(5)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

/// Stripe itself refuses once, and the work is given up.
async fn given_up(app: &TestApp, path: &'static str, times: u32) -> String {
    let offer = app.offer();
    let refusal = FaultKind::Error { status: 400, code: "odd", headers: vec![] };
    app.stripe.inject(Fault { method: "", path, times, kind: refusal });
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    offer
}

async fn reconcile(app: &TestApp) {
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn reconciliation_revives_what_was_given_up_about_an_offer_that_is_still_undelivered(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let unsent = given_up(&app, "/v1/capital/financing_offers/", 1).await;
    app.expect_letter(&unsent, "held", Some("gave_up")).await;
    let unmarked = given_up(&app, "/mark_delivered", 1).await;
    app.expect_letter(&unmarked, "sent", None).await;
    let delivery: String =
        app.one("select state from deliveries where offer_id = $1", &unmarked).await;
    assert_eq!(delivery, "refused");
    assert_eq!(states(&app).await.len(), 2, "both jobs are dead");
    reconcile(&app).await;
    app.expect_delivered(&unsent).await;
    app.expect_delivered(&unmarked).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_fails_each_time_is_revived_once_an_hour_and_not_at_each_reconciliation(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = given_up(&app, "/v1/capital/financing_offers/", u32::MAX).await;
    let fetches = |app: &TestApp| {
        let path = format!("/v1/capital/financing_offers/{offer}");
        app.stripe.requests().iter().filter(|call| call.path == path).count()
    };
    for expected in [2, 3] {
        for _ in 0..3 {
            app.clock.advance(TimeDelta::minutes(15));
            reconcile(&app).await;
            assert_eq!(fetches(&app), expected);
        }
        app.expect_letter(&offer, "held", Some("gave_up")).await;
        app.clock.advance(TimeDelta::hours(1));
    }
    // A job that took the process down each time is left to an operator.
    sqlx::query(
        "update jobs set last_error = 'the process died during each attempt', requeued_at = null",
    )
    .execute(&app.db)
    .await
    .unwrap();
    reconcile(&app).await;
    assert_eq!(fetches(&app), 3);
    app.finish().await;
}
