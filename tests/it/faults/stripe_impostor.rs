//! A captive portal, a proxy or a load balancer that answers in Stripe's place.

use capital_courier::queue;
use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind};

use crate::support::TestApp;

/// Statuses of such answers. None of them comes from Stripe.
const STATUSES: [u16; 14] = [301, 302, 307, 400, 401, 404, 405, 407, 410, 413, 421, 429, 451, 502];

fn page(status: u16) -> FaultKind {
    // Headers that the service would obey in a response of Stripe's.
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

/// Kind and state of the unfinished jobs about offers.
async fn unfinished_jobs(app: &TestApp) -> Vec<(String, String)> {
    sqlx::query_as(
        "select kind, state from jobs
         where state <> 'done' and kind in ('send_letter', 'mark_delivered', 'refresh_offer')
         order by 1, 2",
    )
    .fetch_all(&app.db)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_proxy_page_only_delays_a_letter_or_a_mark(db: PgPool) {
    let app = TestApp::start(db).await;
    for (path, kind) in [
        ("/v1/capital/financing_offers/", "send_letter"),
        ("/v1/accounts/", "send_letter"),
        ("/mark_delivered", "mark_delivered"),
    ] {
        for status in STATUSES {
            let offer = app.offer();
            app.stripe.inject(Fault { method: "", path, times: 1, kind: page(status) });
            app.announce(&offer).await;
            assert_eq!(
                unfinished_jobs(&app).await,
                [(kind.to_owned(), "queued".to_owned())],
                "{path} {status}"
            );
            app.after(TimeDelta::seconds(5)).await;
            app.expect_delivered(&offer).await;
        }
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_404_proxy_page_does_not_make_an_offer_unknown(db: PgPool) {
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
    assert_eq!(unfinished_jobs(&app).await, [("refresh_offer".to_owned(), "queued".to_owned())]);
    app.after(TimeDelta::seconds(5)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

/// Announces an offer while Stripe itself refuses calls to `path`, so that the job becomes dead.
async fn announce_refused(app: &TestApp, path: &'static str, times: u32) -> String {
    let offer = app.offer();
    let refusal = FaultKind::Error { status: 400, code: "odd", headers: vec![] };
    app.stripe.inject(Fault { method: "", path, times, kind: refusal });
    app.announce(&offer).await;
    offer
}

async fn reconcile(app: &TestApp) {
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn reconciliation_requeues_dead_jobs_of_undelivered_offers(db: PgPool) {
    let app = TestApp::start(db).await;
    let unsent = announce_refused(&app, "/v1/capital/financing_offers/", 1).await;
    app.expect_letter(&unsent, "held", Some("gave_up")).await;
    let unmarked = announce_refused(&app, "/mark_delivered", 1).await;
    app.expect_letter(&unmarked, "sent", None).await;
    assert_eq!(app.delivery(&unmarked).await.0, "refused");
    assert_eq!(unfinished_jobs(&app).await.len(), 2, "both jobs are dead");
    reconcile(&app).await;
    app.expect_delivered(&unsent).await;
    app.expect_delivered(&unmarked).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_job_that_keeps_failing_is_requeued_once_an_hour(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = announce_refused(&app, "/v1/capital/financing_offers/", u32::MAX).await;
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
    // A job that ended its process at each attempt needs an operator.
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
