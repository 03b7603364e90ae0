//! Reconciliation: events that never arrived, and Stripe's lists of events and offers.

use capital_courier::maintenance::reconcile::store;
use capital_courier::queue;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind, NewAccount, NewOffer};

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble as SmtpTrouble};

/// State; offers seen and new, events seen and new, refreshed offers, unreadable entries.
type Run = (String, i64, i64, i64, i64, i64, i64);

async fn reconcile(app: &TestApp) -> Run {
    assert!(app.app.reconcile_now().await.unwrap(), "another process has the job");
    let run = sqlx::query_as(
        "select state, offers_seen, offers_new, events_seen, events_new, offers_refreshed,
                unreadable
         from reconcile_runs order by run_id desc limit 1",
    )
    .fetch_one(&app.db)
    .await
    .unwrap();
    app.run_due_work().await;
    run
}

async fn last_complete(app: &TestApp) -> Option<DateTime<Utc>> {
    store::last_complete(&app.db, app.clock.now()).await.unwrap()
}

fn complete(counts: [i64; 6]) -> Run {
    let [offers_seen, offers_new, events_seen, events_new, offers_refreshed, unreadable] = counts;
    (
        "complete".to_owned(),
        offers_seen,
        offers_new,
        events_seen,
        events_new,
        offers_refreshed,
        unreadable,
    )
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn events_missed_by_the_webhook_are_imported_once(db: PgPool) {
    let app = TestApp::start(db).await;
    app.register_broken_webhook();
    let offers: Vec<String> = (0..3).map(|_| app.offer()).collect();
    // Each event is listed twice: as undelivered, and as created since the previous run.
    assert_eq!(reconcile(&app).await, complete([3, 3, 6, 3, 0, 0]));
    for offer in &offers {
        app.expect_delivered(offer).await;
        // The webhook arrives late.
        app.stripe_sends(&app.created(offer)).await.expect_kept();
    }
    app.run_due_work().await;
    assert_eq!(reconcile(&app).await, complete([0, 0, 6, 0, 0, 0]));
    assert_eq!(app.relay.letters().len(), 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_is_found_without_a_registered_webhook(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    reconcile(&app).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_page_of_a_list_is_read(db: PgPool) {
    let app = TestApp::start(db).await;
    app.register_broken_webhook();
    let account = app.stripe.add_account(&NewAccount {
        email: Some("jenny@bakery.example".to_owned()),
        ..NewAccount::default()
    });
    for _ in 0..250 {
        app.stripe.create_offer(&account, &NewOffer::default());
    }
    assert_eq!(reconcile(&app).await, complete([250, 250, 500, 250, 0, 0]));
    let calls = app.stripe.requests();
    let pages = calls.iter().filter(|call| call.path == "/v1/capital/financing_offers").count();
    assert_eq!((pages, app.relay.letters().len()), (6, 250), "three pages each of two lists");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_run_with_a_failed_list_is_incomplete_and_repeated_soon(db: PgPool) {
    let app = TestApp::start(db).await;
    app.offer();
    for (path, kind) in [
        ("/v1/events", FaultKind::Error { status: 500, code: "api_error", headers: vec![] }),
        (
            "/v1/capital/financing_offers",
            FaultKind::Error { status: 429, code: "rate_limit", headers: vec![] },
        ),
        ("/v1/capital/financing_offers", FaultKind::MalformedBody),
    ] {
        app.stripe.inject(Fault { method: "GET", path, times: 1, kind });
        assert!(app.app.reconcile_now().await.unwrap());
        let (state, error): (String, String) =
            sqlx::query_as("select state, error from reconcile_runs order by run_id desc limit 1")
                .fetch_one(&app.db)
                .await
                .unwrap();
        assert_eq!(state, "incomplete", "{path}: {error}");
        assert_eq!(last_complete(&app).await, None);
        // The job is rescheduled, not retried: no attempt is used up.
        let (state, attempt, is_due_soon): (String, i32, bool) = sqlx::query_as(
            "select state, attempt, due_at <= $1 from jobs where kind = 'reconcile'",
        )
        .bind(app.clock.now() + TimeDelta::minutes(1))
        .fetch_one(&app.db)
        .await
        .unwrap();
        assert_eq!((state.as_str(), attempt, is_due_soon), ("queued", 0, true));
    }
    reconcile(&app).await;
    assert_eq!(last_complete(&app).await, Some(app.clock.now()));
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_end_without_an_event_is_found_by_refreshing_the_offer(db: PgPool) {
    let app = TestApp::start(db).await;
    // The daily listing of all offers runs now, so that it cannot find the end.
    reconcile(&app).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
    app.announce(&offer).await;
    app.stripe.perform(Action::Expire, &offer).unwrap();
    // Stripe never created the event.
    app.stripe.clear_events();
    // Stripe's lists may lag, so a very recent difference means nothing.
    assert!(app.app.reconcile_now().await.unwrap());
    app.expect_letter(&offer, "waiting", None).await;
    app.clock.advance(TimeDelta::minutes(3));
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_letter(&offer, "withdrawn", Some("offer_expired")).await;
    app.expect_status(&offer, "expired").await;
    app.expect_untouched(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_delivery_lost_by_stripe_is_marked_again_without_a_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "undelivered".into());
    reconcile(&app).await;
    assert_eq!(
        app.stripe.delivered_marks(&offer),
        1,
        "the list may lag, so the offer is not marked yet"
    );
    app.clock.advance(TimeDelta::minutes(5));
    reconcile(&app).await;
    assert_eq!((app.stripe.delivered_marks(&offer), app.relay.letters().len()), (2, 1));
    assert_eq!(app.delivery(&offer).await.0, "delivered");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unreadable_list_entry_does_not_hide_the_others(db: PgPool) {
    let app = TestApp::start(db).await;
    let (bad, good) = (app.offer(), app.offer());
    app.stripe.edit_offer(&bad, |offer| offer["account"] = 7.into());
    app.stripe.clear_events();
    assert_eq!(reconcile(&app).await, complete([2, 1, 0, 0, 0, 2]));
    app.expect_delivered(&good).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn one_process_reconciles_until_its_lease_expires(db: PgPool) {
    let app = TestApp::start(db).await;
    let lease = std::time::Duration::from_mins(1);
    reconcile(&app).await;
    let claim =
        queue::claim_now(&app.db, "reconcile", "all", lease, app.clock.now()).await.unwrap();
    assert!(claim.is_some());
    assert!(!app.app.reconcile_now().await.unwrap(), "another process has the lease");
    app.clock.advance(TimeDelta::minutes(1));
    assert!(app.app.reconcile_now().await.unwrap(), "the lease has expired");
    app.finish().await;
}
