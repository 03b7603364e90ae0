//! The Capital section in a frame of the platform's dashboard.

use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::browser::{Browser, PageResponse, cookie_of, delivered, section_of, token};

const ANCESTORS: (&str, &str) = (
    "COURIER_PORTAL__FRAME_ANCESTORS",
    "https://dashboard.rocket.example, https://admin.rocket.example:8443/",
);

fn policy(page: &PageResponse) -> &str {
    page.header("content-security-policy")
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn only_the_allowed_origins_may_frame_the_section(db: PgPool) {
    let app = TestApp::start_with(db, &[ANCESTORS]).await;
    let (_, account) = delivered(&app).await;
    let mut browser = Browser::new(&app);
    let path = format!("/capital?token={}&embed=1", token(&app, &account, "framed"));
    let entered = browser.open(&path).await;
    assert_eq!(entered.status, 303, "{}", entered.text);
    let section = format!("{}&embed=1", section_of(&account));
    assert_eq!(entered.header("location"), section);
    let cookie = entered.header("set-cookie").to_owned();
    for part in [
        "__Host-courier_embedded=",
        "; Path=/;",
        "; HttpOnly",
        "; SameSite=None",
        "; Secure",
        "; Partitioned",
    ] {
        assert!(cookie.contains(part), "no {part} in {cookie}");
    }
    browser.cookie = cookie_of(&entered);
    let page = browser.open(&section).await;
    page.expect_says(&["prequalified", "/capital/apply?for=", "&amp;embed=1"]);
    page.expect_silent_about(&["<header", "Back to your dashboard"]);
    let both = "frame-ancestors https://dashboard.rocket.example https://admin.rocket.example:8443";
    assert!(policy(&page).contains(both), "{}", policy(&page));

    // The session in the frame is of no use outside of it, and the other way round.
    let outside = browser.open("/capital").await;
    assert_eq!(outside.status, 401);
    assert!(policy(&outside).contains("frame-ancestors 'none'"));
    let browser = Browser::signed_in(&app, &account).await;
    let page = browser.open("/capital").await;
    page.expect_says(&["<header", "prequalified"]);
    assert!(policy(&page).contains("frame-ancestors 'none'"));
    let ended = browser.open("/capital?embed=1").await;
    assert_eq!(ended.status, 401);
    assert!(ended.text.contains("Your session has ended"), "{}", ended.text);
    assert!(ended.text.contains("target=\"_top\""), "{}", ended.text);
    assert!(policy(&ended).contains(both));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn from_a_frame_stripe_opens_in_the_whole_window_and_returns_to_the_dashboard(db: PgPool) {
    let app = TestApp::start_with(db, &[ANCESTORS]).await;
    let (_, account) = delivered(&app).await;
    let mut browser = Browser::new(&app);
    let path = format!("/capital?token={}&embed=1", token(&app, &account, "framed"));
    browser.cookie = cookie_of(&browser.open(&path).await);
    let onward = browser.open("/capital/apply?embed=1").await;
    onward.expect_says(&["Continue on a page by Stripe", "/_connect/capital/", "target=\"_top\""]);
    assert_eq!(onward.header("cache-control"), "no-store");
    // A used link leads to the dashboard: at the top of the window there is no session.
    let (_, link) = onward.text.split_once("class=\"button\" href=\"").unwrap();
    let link = link.split('"').next().unwrap();
    let stripe =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    assert_eq!(stripe.get(link).send().await.unwrap().status(), 200);
    let again = stripe.get(link).send().await.unwrap();
    assert_eq!(again.headers()["location"], "https://rocket.example/capital");

    // Another site uses up no link.
    let made = app.stripe.requests().len();
    let other_site = ("Sec-Fetch-Site", "cross-site");
    let sent = browser.ask(axum::http::Method::GET, "/capital/apply?embed=1", &[other_site]).await;
    assert_eq!(sent.header("location"), format!("{}&embed=1", section_of(&account)));
    assert_eq!(app.stripe.requests().len(), made);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_allowed_origins_there_is_no_frame(db: PgPool) {
    let app = TestApp::start(db).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    let page = browser.open("/capital?embed=1").await;
    page.expect_says(&["<header"]);
    assert!(policy(&page).contains("frame-ancestors 'none'"));
    app.finish().await;
}
