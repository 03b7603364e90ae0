//! The bodies of events in one partition per day: dropped after the retention period, except bodies
//! that are still needed.

use std::time::{Duration, Instant};

use capital_courier::flow::inbox::bodies::create_partitions;
use chrono::TimeDelta;
use sqlx::{Executor, PgPool};

use crate::support::{TestApp, as_service};

const OF: &str = "select tableoid::regclass::text from inbox_bodies where event_id = $1";
const EXISTS: &str = "select to_regclass($1) is not null";
const FIRST_DAY: &str = "inbox_bodies_20261124";

/// Stripe sends an event that is not about Capital; it is not read yet.
async fn keep(app: &TestApp, event_id: &str) {
    let body = format!(r#"{{"id":"{event_id}","type":"charge.succeeded"}}"#);
    app.stripe_sends_bytes(body.into_bytes()).await.expect_kept();
}

/// Stripe sends an event about Capital that cannot be read.
async fn keep_unreadable(app: &TestApp) {
    let mut odd = app.created(&app.offer());
    odd["id"] = "evt_odd".into();
    odd["data"]["object"] = serde_json::json!({"id": 7});
    app.stripe_sends(&odd).await.expect_kept();
}

async fn erase(app: &TestApp) {
    assert!(app.app.erase_now().await.unwrap());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_days_bodies_are_dropped_with_their_partition_after_a_year(db: PgPool) {
    let app = TestApp::start(db).await;
    // The retention job creates partitions before it erases.
    erase(&app).await;
    keep(&app, "evt_1").await;
    app.app.read_inbox().await.unwrap();
    assert_eq!(app.one::<String>(OF, "evt_1").await, FIRST_DAY);

    app.clock.advance(TimeDelta::days(365));
    erase(&app).await;
    assert!(app.one::<bool>(EXISTS, FIRST_DAY).await, "the day ended less than a year ago");
    app.clock.advance(TimeDelta::days(1));
    erase(&app).await;
    assert!(!app.one::<bool>(EXISTS, FIRST_DAY).await);

    // The event is still known, and cannot be read again.
    keep(&app, "evt_1").await;
    assert_eq!(
        app.one::<String>("select state from inbox_events where event_id = $1", "evt_1").await,
        "ignored"
    );
    assert!(!capital_courier::flow::inbox::store::replay(&app.db, "evt_1").await.unwrap());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unreadable_events_body_outlives_its_partition_until_it_is_read(db: PgPool) {
    let app = TestApp::start(db).await;
    erase(&app).await;
    keep_unreadable(&app).await;
    keep(&app, "evt_1").await;
    app.app.read_inbox().await.unwrap();

    app.clock.advance(TimeDelta::days(400));
    erase(&app).await;
    assert!(!app.one::<bool>(EXISTS, FIRST_DAY).await);
    assert_eq!(app.one::<String>(OF, "evt_odd").await, "inbox_bodies_default");
    assert!(capital_courier::flow::inbox::store::replay(&app.db, "evt_odd").await.unwrap());
    app.app.read_inbox().await.unwrap();
    let note: String =
        app.one("select note from inbox_events where event_id = $1", "evt_odd").await;
    assert!(!note.contains("erased"), "{note}");

    // As after an update that can read it.
    app.db.execute("update inbox_events set state = 'read'").await.unwrap();
    erase(&app).await;
    let left: i64 = app.one("select count(*) from inbox_bodies where event_id <> $1", "").await;
    assert_eq!(left, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unread_events_body_outlives_its_partition_and_is_read(db: PgPool) {
    let app = TestApp::start(db).await;
    erase(&app).await;
    keep(&app, "evt_1").await;
    app.clock.advance(TimeDelta::days(400));
    erase(&app).await;
    assert_eq!(app.one::<String>(OF, "evt_1").await, "inbox_bodies_default");
    app.app.read_inbox().await.unwrap();
    erase(&app).await;
    let left: i64 = app.one("select count(*) from inbox_bodies where event_id = $1", "evt_1").await;
    assert_eq!(left, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_day_without_a_partition_stays_in_the_default_one(db: PgPool) {
    let app = TestApp::start(db).await;
    keep(&app, "evt_1").await;
    // Too late for today: the default partition has rows of it. Tomorrow gets its own.
    erase(&app).await;
    assert_eq!(app.one::<String>(OF, "evt_1").await, "inbox_bodies_default");
    assert!(!app.one::<bool>(EXISTS, FIRST_DAY).await);
    app.clock.advance(TimeDelta::days(1));
    keep(&app, "evt_2").await;
    assert_eq!(app.one::<String>(OF, "evt_2").await, "inbox_bodies_20261125");
    app.app.read_inbox().await.unwrap();
    app.clock.advance(TimeDelta::days(400));
    erase(&app).await;
    let left: i64 = app.one("select count(*) from inbox_bodies where event_id <> $1", "").await;
    assert_eq!(left, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_partition_that_is_in_use_is_dropped_by_a_later_run(db: PgPool) {
    let app = TestApp::start(db).await;
    erase(&app).await;
    keep(&app, "evt_1").await;
    app.app.read_inbox().await.unwrap();
    app.clock.advance(TimeDelta::days(400));

    // As a backup does, for hours.
    let mut backup = app.db.begin().await.unwrap();
    backup.execute("select count(*) from inbox_bodies").await.unwrap();
    let started = Instant::now();
    erase(&app).await;
    assert!(started.elapsed() < Duration::from_secs(5), "webhooks would wait as long");
    assert!(app.one::<bool>(EXISTS, FIRST_DAY).await);
    keep(&app, "evt_2").await;
    backup.commit().await.unwrap();

    erase(&app).await;
    assert!(!app.one::<bool>(EXISTS, FIRST_DAY).await);
    app.app.read_inbox().await.unwrap();
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn replicas_that_start_together_create_each_partition_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let now = app.clock.now();
    let (one, other) =
        tokio::join!(create_partitions(&app.db, now), create_partitions(&app.db, now));
    one.unwrap();
    other.unwrap();
    let partitions: i64 = app
        .one("select count(*) from pg_inherits where inhparent = $1::regclass", "inbox_bodies")
        .await;
    assert!((2..=5).contains(&partitions), "{partitions}");
    // One of them may have given up while it waited for the other.
    create_partitions(&app.db, now).await.unwrap();
    let partitions: i64 = app
        .one("select count(*) from pg_inherits where inhparent = $1::regclass", "inbox_bodies")
        .await;
    assert_eq!(partitions, 5, "today, three days ahead, and the default one");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_role_without_the_functions_works_through_the_default_partition(db: PgPool) {
    let app = TestApp::start(as_service(&db).await).await;
    db.execute(
        "revoke execute on function create_inbox_bodies_partition, drop_inbox_bodies_partition
         from courier_service",
    )
    .await
    .unwrap();
    erase(&app).await;
    keep(&app, "evt_1").await;
    assert_eq!(app.one::<String>(OF, "evt_1").await, "inbox_bodies_default");
    app.app.read_inbox().await.unwrap();
    app.clock.advance(TimeDelta::days(400));
    erase(&app).await;
    let left: i64 = app.one("select count(*) from inbox_bodies where event_id = $1", "evt_1").await;
    assert_eq!(left, 0);
    app.finish().await;
}
