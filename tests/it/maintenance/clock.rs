//! The clock: time-dependent work waits while the database's clock is wrong, and times that a wrong
//! clock wrote are corrected afterwards.

use axum::body::Body;
use axum::http::Request;
use capital_courier::app::App;
use capital_courier::clock::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::support::{TestApp, day_one};

/// Another process of the platform, with a clock ahead of Stripe's.
fn process_ahead_by(app: &TestApp, ahead: TimeDelta) -> App {
    let clock = Clock::movable(day_one() + ahead);
    App::with_database(app.settings_with(&[]), clock, app.db.clone().into()).unwrap()
}

/// When the only `send_letter` job is due.
async fn letter_due_at(app: &TestApp) -> DateTime<Utc> {
    app.one("select due_at from jobs where kind = $1", "send_letter").await
}

async fn set_letter_due_at(app: &TestApp, due_at: DateTime<Utc>) {
    sqlx::query("update jobs set due_at = $1 where kind = 'send_letter'")
        .bind(due_at)
        .execute(&app.db)
        .await
        .unwrap();
}

/// The `send_letter` job has a worker that never finishes, with a lease until this time.
async fn lease_letter_until(app: &TestApp, leased_until: DateTime<Utc>) {
    sqlx::query(
        "update jobs set state = 'claimed', attempt = 1, lease_token = gen_random_uuid(),
                         leased_until = $1
         where kind = 'send_letter'",
    )
    .bind(leased_until)
    .execute(&app.db)
    .await
    .unwrap();
}

/// A time that only a wrong clock can have written.
fn years_ahead() -> DateTime<Utc> {
    "2028-01-02T00:00:00Z".parse().unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_wrong_clock_delays_a_letter_but_never_withdraws_it(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();

    let wrong = process_ahead_by(&app, TimeDelta::days(400));
    wrong.run_due_work().await.unwrap();
    app.expect_letter(&offer, "waiting", None).await;
    app.expect_untouched(&offer).await;
    let calls = app.stripe.requests().len();
    wrong.run_due_work().await.unwrap();
    assert_eq!(app.stripe.requests().len(), calls, "the wrong clock claims no more jobs");

    // The wrong clock did not set the time of the next attempt either.
    assert!(letter_due_at(&app).await <= day_one());
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_wrong_clock_erases_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;

    let wrong = process_ahead_by(&app, TimeDelta::days(400));
    assert!(wrong.erase_now().await.unwrap());
    let erased: i64 = sqlx::query_scalar(
        "select (select count(*) from letters where erased_at is not null)
              + (select count(*) from inbox_events
                 left join inbox_bodies using (event_id)
                 where body is null)",
    )
    .fetch_one(&app.db)
    .await
    .unwrap();
    assert_eq!(erased, 0);
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn readyz_reports_a_clock_that_differs_from_stripe(db: PgPool) {
    let app = TestApp::start(db).await;
    for (ahead, status, clock) in [
        (TimeDelta::zero(), 200, "agrees_with_stripe"),
        (TimeDelta::minutes(-5), 503, "differs_from_stripe"),
    ] {
        let process = process_ahead_by(&app, ahead);
        let router = process.router().unwrap();
        let ready = async || {
            let request = Request::get("/readyz").body(Body::empty()).unwrap();
            crate::support::ask(&router, request).await
        };
        assert_eq!(ready().await.body["parts"]["clock"], "not_compared");
        assert!(process.reconcile_now().await.unwrap());
        let answer = ready().await;
        assert_eq!(
            (answer.status, &answer.body["parts"]["clock"]),
            (status, &clock.into()),
            "{ahead}"
        );
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_job_scheduled_years_ahead_becomes_due_now(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    set_letter_due_at(&app, years_ahead()).await;
    app.run_due_work().await;
    app.expect_letter(&offer, "waiting", None).await;

    // Only a clock that agrees with Stripe may decide that a time is too far ahead.
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_lease_that_expires_years_ahead_is_shortened(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    lease_letter_until(&app, years_ahead()).await;
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_letter(&offer, "waiting", None).await;
    app.after(TimeDelta::minutes(2)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_clock_step_takes_no_lease_from_a_live_worker(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    lease_letter_until(&app, day_one() + TimeDelta::minutes(1)).await;
    // The database's clock was set 90 s ahead. That is within the accepted difference from Stripe.
    let stepped = process_ahead_by(&app, TimeDelta::seconds(90));
    stepped.run_due_work().await.unwrap();
    app.expect_letter(&offer, "waiting", None).await;
    app.expect_untouched(&offer).await;
    // The lease was not renewed for its whole length: the worker is dead.
    app.after(TimeDelta::minutes(2)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}
