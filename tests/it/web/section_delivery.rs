//! The Capital section and an offer whose delivery Stripe has not acknowledged.

use axum::http::Method;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::browser::Browser;

const MARKS: [(&str, &str); 1] = [("COURIER_PORTAL__MARKS_DELIVERED", "true")];
const BUTTON: &str = "Start your application";
const NOT_OPEN: &str = "The application isn’t open yet. Once it is, you can start it here.";
const WHOM_TO_ASK: &str = "see <a href=\"#contact\">Questions and complaints</a>";

/// An offer whose event was read and whose letter waits, and its account.
async fn undelivered(app: &TestApp) -> (String, String) {
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    assert_eq!(app.app.read_inbox().await.unwrap(), 1);
    app.expect_letter(&offer, "waiting", None).await;
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    (offer, account)
}

async fn views(app: &TestApp, offer: &str) -> i64 {
    app.one(
        "select count(*) from delivery_reports where offer_id = $1 and reported_by = 'portal'
             and channel = 'capital_section'",
        offer,
    )
    .await
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_application_opens_when_the_offer_is_delivered(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = undelivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    let page = browser.open("/capital").await;
    page.expect_says(&["You’re prequalified for up to", NOT_OPEN, WHOM_TO_ASK]);
    // An opt-out or an unknown product can hold the letter for good.
    page.expect_silent_about(&[BUTTON, "/capital/apply", "page by Stripe", "soon", "later"]);
    assert_eq!(views(&app, &offer).await, 0, "a view is no delivery without the setting");
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    let page = browser.open("/capital").await;
    page.expect_says(&[BUTTON]);
    page.expect_silent_about(&[NOT_OPEN, WHOM_TO_ASK]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_undelivered_offer_of_an_unknown_product_promises_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe.edit_offer(&offer, |offer| {
        (offer["type"], offer["financing_type"]) =
            ("line_of_credit".into(), "line_of_credit".into());
    });
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    assert_eq!(app.app.read_inbox().await.unwrap(), 1);
    let account = app.account_of(&offer);
    let page = Browser::signed_in(&app, &account).await.open("/capital").await;
    page.expect_says(&["You’re prequalified for financing", NOT_OPEN, WHOM_TO_ASK]);
    page.expect_silent_about(&[BUTTON, "up to", "soon", "later"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_first_view_counts_as_delivery_if_the_setting_says_so(db: PgPool) {
    let app = TestApp::start_with(db, &MARKS).await;
    let (offer, account) = undelivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    browser.ask(Method::HEAD, "/capital", &[]).await;
    browser.ask(Method::GET, "/capital", &[("Sec-Purpose", "prefetch")]).await;
    assert_eq!(views(&app, &offer).await, 0, "nobody saw these pages");
    for _ in 0..2 {
        browser.open("/capital").await.expect_says(&[NOT_OPEN]);
        assert_eq!(views(&app, &offer).await, 1);
    }
    app.run_due_work().await;
    app.expect_letter(&offer, "withdrawn", Some("told_elsewhere")).await;
    assert_eq!((app.stripe.delivered_marks(&offer), app.relay.letters().len()), (1, 0));
    // Stripe sends no event about a mark: our own record of it opens the application.
    browser.open("/capital").await.expect_says(&[BUTTON]);
    assert_eq!(browser.open("/capital/apply").await.status, 303);
    assert_eq!(views(&app, &offer).await, 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_view_that_cannot_be_recorded_does_not_fail_the_page(db: PgPool) {
    let app = TestApp::start_with(db.clone(), &MARKS).await;
    let (offer, account) = undelivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    let broken = "alter table delivery_reports add constraint full_disk check (false) not valid";
    sqlx::query(broken).execute(&db).await.unwrap();
    browser.open("/capital").await.expect_says(&["You’re prequalified for up to", NOT_OPEN]);
    app.expect_letter(&offer, "waiting", None).await;
    sqlx::query("alter table delivery_reports drop constraint full_disk")
        .execute(&db)
        .await
        .unwrap();
    browser.open("/capital").await.expect_says(&[NOT_OPEN]);
    assert_eq!(views(&app, &offer).await, 1);
    app.run_due_work().await;
    assert_eq!((app.stripe.delivered_marks(&offer), app.relay.letters().len()), (1, 0));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_merchant_without_emails_can_apply_after_seeing_the_offer(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = undelivered(&app).await;
    app.opts_out(&account).await;
    app.run_due_work().await;
    app.expect_letter(&offer, "suppressed", Some("opted_out")).await;
    let browser = Browser::signed_in(&app, &account).await;
    browser.ask(Method::GET, "/capital", &[("Sec-Purpose", "prefetch")]).await;
    assert_eq!(views(&app, &offer).await, 0, "nobody saw this page");
    for _ in 0..2 {
        browser.open("/capital").await.expect_says(&["You’re prequalified for up to", NOT_OPEN]);
        assert_eq!(views(&app, &offer).await, 1);
    }
    app.run_due_work().await;
    // The evidence says what was: no email, a view.
    app.expect_letter(&offer, "suppressed", Some("opted_out")).await;
    assert_eq!((app.stripe.delivered_marks(&offer), app.relay.letters().len()), (1, 0));
    let page = browser.open("/capital").await;
    page.expect_says(&[BUTTON]);
    page.expect_silent_about(&[NOT_OPEN]);
    assert_eq!(browser.open("/capital/apply").await.status, 303);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_view_is_no_delivery_while_an_email_may_still_leave(db: PgPool) {
    let app = TestApp::start(db).await;
    // Held: an operator can name a recipient, and the email leaves.
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    app.expect_letter(&offer, "held", Some("no_recipient")).await;
    let account = app.account_of(&offer);
    Browser::signed_in(&app, &account).await.open("/capital").await.expect_says(&[NOT_OPEN]);
    assert_eq!(views(&app, &offer).await, 0);
    app.abandon();
}
