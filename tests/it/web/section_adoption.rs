//! The Capital section of a platform that adopts the service in the middle of its program.

use serde_json::json;
use sqlx::PgPool;
use stripe_simulator::{Action, Fault, FaultKind};

use crate::support::TestApp;
use crate::support::browser::Browser;
use crate::support::stripe::Stub;
use crate::web::api::{call, key};
use capital_courier::web::api::Scope;

const NONE: &str = "There is no financing offer right now";

/// A financing that was paid out before any webhook: its offer and its account.
fn paid_out(app: &TestApp) -> (String, String) {
    let offer = app.offer();
    app.stripe.edit_offer(&offer, |offer| offer["status"] = "delivered".into());
    app.stripe.perform(Action::Apply, &offer).unwrap();
    app.stripe.perform(Action::Approve, &offer).unwrap();
    app.stripe.clear_events();
    let account = app.account_of(&offer);
    (offer, account)
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn before_the_first_listing_the_page_asks_stripe(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = paid_out(&app);
    let kind = FaultKind::Error { status: 503, code: "api_error", headers: vec![] };
    app.stripe.inject(Fault { method: "GET", path: "financing_offers", times: u32::MAX, kind });
    let browser = Browser::signed_in(&app, &account).await;
    let page = browser.open("/capital").await;
    assert_eq!(page.status, 503, "unknown is not none");
    page.expect_silent_about(&[NONE]);
    let key = key(&app, &[Scope::FinancingsRead]).await;
    let offers = format!("/api/v1/accounts/{account}/offers");
    call(&app, &key, "GET", &offers, "").await.expect_refused(503, "stripe_unavailable");

    app.stripe.clear_faults();
    app.clock.advance(chrono::TimeDelta::minutes(2));
    let page = browser.open("/capital").await;
    page.expect_says(&["In progress"]);
    page.expect_silent_about(&[NONE]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_beside_a_known_one_is_found_before_the_first_listing(db: PgPool) {
    let app = TestApp::start(db).await;
    let (running, account) = paid_out(&app);
    let newer = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
    app.stripe.edit_offer(&newer, |offer| offer["status"] = "expired".into());
    app.stripe_sends(&app.stripe.emit("capital.financing_offer.expired", &newer))
        .await
        .expect_kept();
    app.run_due_work().await;
    app.expect_status(&newer, "expired").await;
    Browser::signed_in(&app, &account).await.open("/capital").await.expect_says(&["In progress"]);
    app.expect_status(&running, "paid_out").await;
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_account_without_offers_is_looked_up_once_a_minute(db: PgPool) {
    let app = TestApp::start(db).await;
    let account = app.stripe.add_account(&stripe_simulator::NewAccount::default());
    let browser = Browser::signed_in(&app, &account).await;
    for _ in 0..3 {
        browser.open("/capital").await.expect_says(&[NONE]);
    }
    let calls = app.stripe.requests();
    let lists = calls.iter().filter(|call| call.path == "/v1/capital/financing_offers");
    assert_eq!(lists.count(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_running_financing_stays_on_the_page_behind_many_newer_offers(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = paid_out(&app);
    for _ in 0..55 {
        let newer = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
        app.stripe.edit_offer(&newer, |offer| offer["status"] = "expired".into());
    }
    app.stripe.clear_events();
    assert!(app.app.reconcile_now().await.unwrap());
    let page = Browser::signed_in(&app, &account).await.open("/capital").await;
    page.expect_says(&["In progress"]);
    page.expect_silent_about(&["expired"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_the_account_the_disclaimer_names_the_market(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let settings =
        [("COURIER_STRIPE__API_BASE", url.as_str()), ("COURIER_PORTAL__MARKS_DELIVERED", "true")];
    let app = TestApp::start_with(db, &settings).await;
    let gone = json!({"error": {"type": "invalid_request_error", "code": "account_invalid"}});
    stub.answer("/v1/accounts/", 403, gone);
    let shown = "You’re prequalified for up to $1,000";
    for (number, variant, text, minimum) in [
        (1, Some("celtic_us_loan"), shown, true),
        (2, Some("celtic_mars_loan"), shown, false),
        (3, None, "Your offer can’t be shown at the moment", false),
    ] {
        let (id, account) = (format!("financingoffer_{number}"), format!("acct_{number}"));
        let offer = super::section::Offer {
            id: &id,
            account: &account,
            status: "undelivered",
            disclaimer: variant,
            ..super::section::Offer::default()
        };
        offer.receive(&app).await;
        let page = Browser::signed_in(&app, &account).await.open("/capital").await;
        page.expect_says(&[text]);
        assert_eq!(page.text.contains("A minimum amount is due"), minimum, "{variant:?}");
        assert_eq!(page.text.contains("debited from your bank account"), minimum, "{variant:?}");
        let reports = "select count(*) from delivery_reports where offer_id = $1";
        // A page without the terms of the market delivers nothing.
        assert_eq!(app.one::<i64>(reports, &id).await, i64::from(minimum), "{variant:?}");
    }
    app.abandon();
}
