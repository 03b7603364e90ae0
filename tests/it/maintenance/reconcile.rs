//! What never reached us, and what we make of Stripe's lists.

use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind, NewAccount, NewOffer};

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble as SmtpTrouble};

/// State, offers seen and new, events seen and new, looks, unreadable entries.
type Run = (String, i64, i64, i64, i64, i64, i64);

async fn reconcile(app: &TestApp) -> Run {
    assert!(app.app.reconcile_now().await.unwrap(), "somebody else is at it");
    let run = sqlx::query_as(
        "select state, offers_seen, offers_new, events_seen, events_new, offers_refreshed, unreadable
         from reconcile_runs order by run_id desc limit 1",
    )
    .fetch_one(&app.db)
    .await
    .unwrap();
    app.run_due_work().await;
    run
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
async fn what_no_webhook_told_us_of_is_found_by_the_same_door_and_only_once(db: PgPool) {
    let app = TestApp::start(db).await;
    app.register_broken_webhook();
    let offers: Vec<String> = (0..3).map(|_| app.offer()).collect();
    // Each event is listed twice: as undelivered, and as made since the run before.
    assert_eq!(reconcile(&app).await, complete([3, 3, 6, 3, 0, 0]));
    for offer in &offers {
        app.expect_delivered(offer).await;
        // The webhook comes after all.
        app.stripe_sends(&app.created(offer)).await.expect_kept();
    }
    app.run_due_work().await;
    assert_eq!(reconcile(&app).await, complete([0, 0, 6, 0, 0, 0]));
    assert_eq!(app.relay.letters().len(), 3);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_is_found_though_no_webhook_was_registered(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    reconcile(&app).await;
    app.expect_delivered(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn all_pages_are_read(db: PgPool) {
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
    let lists = app
        .stripe
        .requests()
        .iter()
        .filter(|call| call.path == "/v1/capital/financing_offers")
        .count();
    assert_eq!((lists, app.relay.letters().len()), (6, 250), "undelivered ones, and all");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_run_that_could_not_see_everything_says_so_and_counts_as_none(db: PgPool) {
    let app = TestApp::start(db).await;
    app.offer();
    for (path, trouble) in [
        ("/v1/events", FaultKind::Error { status: 500, code: "api_error", headers: vec![] }),
        (
            "/v1/capital/financing_offers",
            FaultKind::Error { status: 429, code: "rate_limit", headers: vec![] },
        ),
        ("/v1/capital/financing_offers", FaultKind::MalformedBody),
    ] {
        app.stripe.inject(Fault { method: "GET", path, times: 1, kind: trouble });
        assert!(app.app.reconcile_now().await.unwrap());
        let (state, error): (String, String) =
            sqlx::query_as("select state, error from reconcile_runs order by run_id desc limit 1")
                .fetch_one(&app.db)
                .await
                .unwrap();
        assert_eq!(state, "incomplete", "{path}: {error}");
        let last =
            capital_courier::maintenance::reconcile::store::last_complete(&app.db, app.clock.now())
                .await
                .unwrap();
        assert_eq!(last, None);
        // Soon again, and not as a failure of the job: no attempt is used up.
        let (state, attempt, soon): (String, i32, bool) = sqlx::query_as(
            "select state, attempt, due_at <= $1 from jobs where kind = 'reconcile'",
        )
        .bind(app.clock.now() + TimeDelta::minutes(1))
        .fetch_one(&app.db)
        .await
        .unwrap();
        assert_eq!((state.as_str(), attempt, soon), ("queued", 0, true));
    }
    reconcile(&app).await;
    let last =
        capital_courier::maintenance::reconcile::store::last_complete(&app.db, app.clock.now())
            .await
            .unwrap();
    assert_eq!(last, Some(app.clock.now()));
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_whose_end_nobody_told_us_of_is_looked_at(db: PgPool) {
    let app = TestApp::start(db).await;
    // All offers are listed now, and not again before tomorrow.
    reconcile(&app).await;
    let offer = app.offer();
    app.relay.fail(Step::Rcpt(0), SmtpTrouble::Say("450 4.2.1 later"), 1);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.stripe.perform(Action::Expire, &offer).unwrap();
    // As if Stripe had never made the event.
    app.stripe.clear_events();
    // A moment later Stripe's lists may be behind, and nothing is concluded from them.
    assert!(app.app.reconcile_now().await.unwrap());
    app.expect_letter(&offer, "waiting", None).await;
    app.clock.advance(TimeDelta::minutes(3));
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_letter(&offer, "withdrawn", Some("offer_expired")).await;
    let status: String =
        app.one("select status from financing_offers where offer_id = $1", &offer).await;
    assert_eq!(status, "expired");
    app.expect_untouched(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_that_stripe_forgot_the_delivery_of_is_marked_again_without_a_second_letter(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "undelivered".into());
    reconcile(&app).await;
    assert_eq!(app.stripe.delivered_marks(&offer), 1, "a list may be behind for a moment");
    app.clock.advance(TimeDelta::minutes(5));
    reconcile(&app).await;
    assert_eq!((app.stripe.delivered_marks(&offer), app.relay.letters().len()), (2, 1));
    let state: String = app.one("select state from deliveries where offer_id = $1", &offer).await;
    assert_eq!(state, "delivered");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn one_entry_that_cannot_be_read_does_not_cost_the_others(db: PgPool) {
    let app = TestApp::start(db).await;
    let (bad, good) = (app.offer(), app.offer());
    app.stripe.edit_offer(&bad, |offer| offer["account"] = 7.into());
    app.stripe.clear_events();
    assert_eq!(reconcile(&app).await, complete([2, 1, 0, 0, 0, 2]));
    app.expect_delivered(&good).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn one_process_at_a_time_reconciles_and_a_dead_one_holds_up_nobody_for_longer_than_its_lease(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let lease = std::time::Duration::from_mins(1);
    reconcile(&app).await;
    let claim =
        capital_courier::queue::claim_now(&app.db, "reconcile", "all", lease, app.clock.now())
            .await
            .unwrap();
    assert!(claim.is_some());
    assert!(!app.app.reconcile_now().await.unwrap(), "another process has it");
    app.clock.advance(TimeDelta::minutes(1));
    assert!(app.app.reconcile_now().await.unwrap(), "its lease has run out");
    app.finish().await;
}
