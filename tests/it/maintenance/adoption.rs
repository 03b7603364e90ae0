//! A platform that ran a Capital program before it installed the service.

use capital_courier::web::api::Scope;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::{Action, NewAccount, NewOffer};

use crate::support::TestApp;
use crate::web::api::{call, key};

/// An offer in each status, without any event; the last one is undelivered.
fn offers_of_every_status(app: &TestApp) -> Vec<(String, &'static str)> {
    let statuses: [(&[Action], &str); 8] = [
        (&[Action::Expire], "expired"),
        (&[Action::Apply], "accepted"),
        (&[Action::Apply, Action::Reject], "rejected"),
        (&[Action::Apply, Action::Cancel], "canceled"),
        (&[Action::Apply, Action::Approve], "paid_out"),
        (&[Action::Apply, Action::Approve, Action::Repay], "fully_repaid"),
        (&[], "delivered"),
        (&[], "undelivered"),
    ];
    let offers = statuses.into_iter().map(|(actions, status)| {
        let offer = app.offer();
        if status != "undelivered" {
            app.stripe.edit_offer(&offer, |offer| offer["status"] = "delivered".into());
        }
        for action in actions {
            app.stripe.perform(*action, &offer).unwrap();
        }
        (offer, status)
    });
    let offers = offers.collect();
    app.stripe.clear_events();
    offers
}

/// A financing that was paid out before any webhook: its offer, and the event about the payout.
fn paid_out(app: &TestApp) -> (String, Value) {
    let offer = app.offer();
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "delivered".into());
    app.stripe.perform(Action::Apply, &offer).unwrap();
    app.stripe.perform(Action::Approve, &offer).unwrap();
    let events = app.stripe.events();
    let is_payout = |event: &&Value| event["type"] == "capital.financing_transaction.created";
    let payout = events.iter().find(is_payout).expect("an approval pays out");
    (offer, payout.clone())
}

async fn expect_statuses(app: &TestApp, offers: &[(String, &'static str)]) {
    for (offer, status) in offers {
        let expected = if *status == "undelivered" { "delivered" } else { status };
        app.expect_status(offer, expected).await;
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_first_listing_stores_every_offer_and_emails_the_undelivered_one(db: PgPool) {
    let app = TestApp::start(db).await;
    let offers = offers_of_every_status(&app);
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    // It was marked delivered meanwhile; the next listing reads the new status.
    app.expect_delivered(&offers.last().unwrap().0).await;
    expect_statuses(&app, &offers).await;
    assert_eq!(app.relay.letters().len(), 1);
    let listing = app.app.newest_listing().await.unwrap().unwrap();
    assert_eq!(
        (listing.offers_seen, listing.offers_new),
        (8, 7),
        "the list of undelivered offers already stored one"
    );
    assert!(listing.ended_at.is_some());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_listing_resumes_after_its_last_page_and_repeats_daily(db: PgPool) {
    let app = TestApp::start(db).await;
    let account = app.stripe.add_account(&NewAccount::default());
    let offers: Vec<String> = (0..250)
        .map(|_| {
            let offer = app.stripe.create_offer(&account, &NewOffer::default());
            app.stripe.edit_offer(&offer, |offer| offer["status"] = "expired".into());
            offer
        })
        .collect();
    app.stripe.clear_events();
    let list_calls = |app: &TestApp| {
        let calls = app.stripe.requests();
        calls.iter().filter(|call| call.path == "/v1/capital/financing_offers").count()
    };
    // The state after a process ended at the first page. Stripe lists the newest offer first.
    sqlx::query(
        "insert into offer_listings (livemode, started_at, after_offer_id, offers_seen, offers_new)
         values (false, $1, $2, 100, 100)",
    )
    .bind(app.clock.now())
    .bind(&offers[150])
    .execute(&app.db)
    .await
    .unwrap();
    assert!(app.app.reconcile_now().await.unwrap());
    let listing = app.app.newest_listing().await.unwrap().unwrap();
    assert_eq!(
        (listing.offers_seen, listing.offers_new),
        (250, 250),
        "this run adds 150 to the first page"
    );
    assert!(listing.ended_at.is_some());
    assert_eq!(list_calls(&app), 3, "one page of undelivered offers and two of all offers");

    assert!(app.app.reconcile_now().await.unwrap());
    assert_eq!(list_calls(&app), 4, "the listing is not due");
    app.clock.advance(TimeDelta::hours(25));
    assert!(app.app.reconcile_now().await.unwrap());
    assert_eq!(list_calls(&app), 8);
    let listing = app.app.newest_listing().await.unwrap().unwrap();
    assert_eq!(
        (listing.offers_seen, listing.offers_new),
        (250, 100),
        "only the first page is new: it was never applied"
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn events_without_a_registered_endpoint_are_imported(db: PgPool) {
    let app = TestApp::start(db).await;
    assert!(app.app.reconcile_now().await.unwrap());
    let offer = app.offer();
    app.clock.advance(TimeDelta::minutes(15));
    assert!(app.app.reconcile_now().await.unwrap());
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    app.expect_events_about(&offer, 1).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_transaction_about_an_unknown_offer_stores_the_offer(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, payout) = paid_out(&app);
    app.stripe_sends(&payout).await.expect_kept();
    app.run_due_work().await;
    app.expect_status(&offer, "paid_out").await;
    assert_eq!(app.relay.letters().len(), 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_event_about_an_unknown_account_stores_its_offers(db: PgPool) {
    let app = TestApp::start(db).await;
    let new = NewAccount { email: Some("jenny@bakery.example".into()), ..NewAccount::default() };
    let account = app.stripe.add_account(&new);
    let offers = [(); 2].map(|()| app.stripe.create_offer(&account, &NewOffer::default()));
    app.stripe.edit_offer(&offers[1], |offer| offer["status"] = "expired".into());
    let event = json!({
        "id": "evt_credit_line", "object": "event", "livemode": false, "created": 1_795_000_000,
        "type": "capital.financing_summary.line_of_credit_update",
        "data": {"object": {"object": "capital.financing_summary", "account": account}},
    });
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offers[0]).await;
    app.expect_status(&offers[1], "expired").await;
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reported_event_generation_failure_refreshes_the_object(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    // Stripe loses every event about the application.
    app.stripe.lose_next_events(10);
    app.stripe.perform(Action::Apply, &offer).unwrap();
    for id in app.stripe.report_lost_events() {
        let report = json!({
            "id": id, "object": "v2.core.event", "livemode": false,
            "type": "v2.core.health.event_generation_failure.resolved",
            "created": app.clock.now(),
        });
        app.stripe_sends(&report).await.expect_kept();
    }
    app.run_due_work().await;
    app.expect_status(&offer, "accepted").await;
    let calls = app.stripe.requests();
    let reads = calls.iter().filter(|call| call.path.starts_with("/v2/core/events/")).count();
    assert_eq!(reads, 1, "the report has no data: it is fetched once");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_account_known_only_by_transactions_gets_its_offers_from_stripe(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, payout) = paid_out(&app);
    app.stripe_sends(&payout).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    let account = payout["data"]["object"]["account"].as_str().unwrap();
    let key = key(&app, &[Scope::FinancingsRead]).await;
    let path = format!("/api/v1/accounts/{account}/offers");
    let offers = call(&app, &key, "GET", &path, "").await.expect(200);
    assert_eq!(offers["data"][0]["status"], "paid_out");
    app.run_due_work().await;
    app.finish().await;
}
