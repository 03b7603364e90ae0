//! The one clock: what depends on the time waits while the database's clock is wrong, and what such a
//! clock wrote is put right afterwards.

use axum::body::Body;
use axum::http::Request;
use capital_courier::app::App;
use capital_courier::clock::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::support::{TestApp, day_one};

/// The same platform's process, by a clock that is this far from Stripe's.
fn process_ahead_by(app: &TestApp, ahead: TimeDelta) -> App {
    let clock = Clock::movable(day_one() + ahead);
    App::with_database(app.settings_with(&[]), clock, app.db.clone().into()).unwrap()
}

async fn due_at(db: &PgPool, kind: &str) -> DateTime<Utc> {
    sqlx::query_scalar("select due_at from jobs where kind = $1")
        .bind(kind)
        .fetch_one(db)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_wrong_clock_withdraws_nothing_and_the_letter_goes_out_afterwards(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();

    let wrong = process_ahead_by(&app, TimeDelta::days(400));
    wrong.run_due_work().await.unwrap();
    app.expect_letter(&offer, "waiting", None).await;
    app.expect_untouched(&offer).await;
    let calls = app.stripe.requests().len();
    wrong.run_due_work().await.unwrap();
    assert_eq!(app.stripe.requests().len(), calls, "nothing is claimed any more");

    // It does not say when to try again either.
    assert!(due_at(&app.db, "send_letter").await <= day_one());
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_wrong_clock_erases_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;

    let wrong = process_ahead_by(&app, TimeDelta::days(400));
    assert!(wrong.erase_now().await.unwrap());
    let erased: i64 = sqlx::query_scalar(
        "select (select count(*) from letters where erased_at is not null)
              + (select count(*) from inbox_events left join inbox_bodies using (event_id) where body is null)",
    )
    .fetch_one(&app.db)
    .await
    .unwrap();
    assert_eq!(erased, 0);
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn readyz_says_that_the_clock_is_wrong(db: PgPool) {
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
async fn a_job_that_is_put_off_for_years_is_due_now(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    let set = "update jobs set due_at = '2028-01-02' where kind = 'send_letter'";
    sqlx::query(set).execute(&app.db).await.unwrap();
    app.run_due_work().await;
    app.expect_letter(&offer, "waiting", None).await;

    // Only a clock that Stripe has confirmed may say that a time is too far ahead.
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_lease_that_lasts_for_years_ends(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    sqlx::query(
        "update jobs set state = 'claimed', attempt = 1, lease_token = gen_random_uuid(), leased_until = '2028-01-02'
         where kind = 'send_letter'",
    )
    .execute(&app.db)
    .await
    .unwrap();
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_letter(&offer, "waiting", None).await;
    app.after(TimeDelta::minutes(2)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_step_of_the_clock_takes_no_lease_from_a_living_worker(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    sqlx::query(
        "update jobs set state = 'claimed', attempt = 1, lease_token = gen_random_uuid(), leased_until = $1
         where kind = 'send_letter'",
    )
    .bind(day_one() + TimeDelta::minutes(1))
    .execute(&app.db)
    .await
    .unwrap();
    // Another process, by the clock of a database that was just set 90 s ahead. Stripe agrees: it is
    // within the bound.
    let stepped = process_ahead_by(&app, TimeDelta::seconds(90));
    stepped.run_due_work().await.unwrap();
    app.expect_letter(&offer, "waiting", None).await;
    app.expect_untouched(&offer).await;
    // Nobody renewed the lease within one lease: its holder is dead.
    app.after(TimeDelta::minutes(2)).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}
