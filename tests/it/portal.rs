//! The merchant's Capital section, as a browser meets it.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use capital_courier::app::App;
use capital_courier::retention::erase_account;
use capital_courier::simulator::{Button, Charge, ChargeKind, Fault, Trouble};
use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::stripe::{Stub, refusal};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub struct Shown {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Shown {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn expect_says(&self, words: &[&str]) {
        assert_eq!(self.status, 200);
        for words in words {
            assert!(self.text.contains(words), "`{words}` is not in\n{}", self.text);
        }
    }

    pub fn expect_silent_about(&self, words: &[&str]) {
        for words in words {
            assert!(!self.text.contains(words), "`{words}` is in\n{}", self.text);
        }
    }
}

/// A browser that remembers one cookie.
pub struct Browser<'a> {
    app: &'a TestApp,
    pub cookie: Option<String>,
    pub language: &'static str,
}

impl<'a> Browser<'a> {
    pub fn new(app: &'a TestApp) -> Self {
        Self { app, cookie: None, language: "en-US,en;q=0.9" }
    }

    /// Comes from the dashboard.
    pub async fn signed_in(app: &'a TestApp, account: &str) -> Self {
        let mut browser = Self::new(app);
        let entered = browser.open(&format!("/capital?token={}", token(app, account, account))).await;
        assert_eq!(entered.header("location"), section_of(account), "{}", entered.text);
        browser.cookie = cookie_of(&entered);
        browser
    }

    pub async fn open(&self, path: &str) -> Shown {
        self.ask(Method::GET, path, &[]).await
    }

    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Shown {
        self.ask_at(&self.app.app, (method, path), headers).await
    }

    /// The same at another process.
    pub async fn ask_at(&self, at: &App, (method, path): (Method, &str), headers: &[(&str, &str)]) -> Shown {
        let mut request =
            Request::builder().method(method).uri(path).header("Accept-Language", self.language);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", format!("other=1; {cookie}"));
        }
        let request = request.body(Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(at.router().unwrap(), request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        // The templates write a slash as a reference; to a browser that is the same.
        let text = text.replace("&#x2f;", "/");
        Shown { status: head.status.as_u16(), headers: head.headers, text }
    }
}

fn cookie_of(entered: &Shown) -> Option<String> {
    entered.header("set-cookie").split(';').next().map(str::to_owned)
}

/// The section's address, as a browser stands on it that shows this account.
fn section_of(account: &str) -> String {
    format!("/capital?for={}", tag(account))
}

fn tag(account: &str) -> String {
    hex::encode(Sha256::digest(account))[..12].to_owned()
}

pub fn token(app: &TestApp, account: &str, id: &str) -> String {
    let now = app.clock.now().timestamp();
    signed(&json!({"sub": account, "aud": "capital-courier", "iat": now, "exp": now + 60, "jti": id}))
}

fn signed(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// An offer that was emailed, and its account.
pub async fn delivered(app: &TestApp) -> (String, String) {
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    let account = app.one("select account_id from financing_offers where offer_id = $1", &offer).await;
    (offer, account)
}

pub async fn press(app: &TestApp, offer: &str, button: Button, event: &str) {
    app.stripe.press(button, offer).unwrap();
    app.stripe_sends(&app.event(offer, &format!("capital.financing_offer.{event}"))).await.expect_kept();
    app.run_due_work().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_token_opens_one_session_and_leaves_the_address(db: PgPool) {
    let app = TestApp::start(db).await;
    let token = token(&app, "acct_1", "once");
    let mut browser = Browser::new(&app);
    let looked = browser.ask(Method::HEAD, &format!("/capital?token={token}"), &[]).await;
    assert_eq!(looked.status, 204, "a look uses nothing up");
    let entered = browser.open(&format!("/capital?token={token}")).await;
    assert_eq!((entered.status, entered.header("location")), (303, &*section_of("acct_1")));
    let cookie = entered.header("set-cookie").to_owned();
    for attribute in ["Path=/capital", "Max-Age=3600", "HttpOnly", "SameSite=Lax", "Secure"] {
        assert!(cookie.contains(attribute), "no {attribute} in {cookie}");
    }
    assert_eq!(browser.open("/capital").await.status, 401, "without the cookie nobody is known");

    // Somebody who saw the address gets nothing for it; who has the session already is let through.
    assert_eq!(browser.open(&format!("/capital?token={token}")).await.status, 401);
    browser.cookie = cookie.split(';').next().map(str::to_owned);
    let again = browser.open(&format!("/capital?token={token}")).await;
    assert_eq!((again.status, again.header("location")), (303, &*section_of("acct_1")));
    let page = browser.open("/capital").await;
    page.expect_says(&["There is no financing offer right now", "https://rocket.example/capital"]);
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));

    // No secret is in the database.
    let secret = browser.cookie.clone().unwrap();
    let rows: Vec<String> =
        sqlx::query_scalar("select s::text from portal_sessions s union select t::text from portal_tokens t")
            .fetch_all(&app.db)
            .await
            .unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| !row.contains(secret.split_once('=').unwrap().1)));

    app.clock.advance(chrono::TimeDelta::minutes(61));
    assert_eq!(browser.open("/capital").await.status, 401, "a visit ends");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn whoever_has_no_session_sees_nothing_of_any_account(db: PgPool) {
    let app = TestApp::start(db).await;
    let mut browser = Browser::new(&app);
    for cookie in [None, Some("courier_session="), Some("courier_session=AAAA"), Some("courier_session=%00")]
    {
        browser.cookie = cookie.map(str::to_owned);
        for path in [
            "/capital",
            "/capital/apply",
            "/capital/report",
            "/capital/statement",
            "/capital/statement.csv",
            "/capital?token=",
            "/capital?token=eyJhbGciOiJub25lIn0.e30.",
        ] {
            let shown = browser.open(path).await;
            assert_eq!(shown.status, 401, "{path}");
            assert!(shown.text.contains("Please open this page from your dashboard"), "{}", shown.text);
        }
    }
    assert!(app.stripe.calls().is_empty(), "Stripe was asked for somebody unknown");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_is_shown_at_each_phase_of_its_life(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    let open = browser.open("/capital").await;
    open.expect_says(&[
        "You’re prequalified for up to $1,000.00",
        "Flat fee",
        "$100.00",
        "15%",
        "December\u{a0}24, 2026",
        "subject to review prior to approval",
        &format!("href=\"/capital/apply?for={}\"", tag(&account)),
    ]);
    open.expect_silent_about(&["Transactions", "remaining"]);

    press(&app, &offer, Button::Apply, "accepted").await;
    let review = browser.open("/capital").await;
    let way_on = format!("href=\"/capital/report?for={}\"", tag(&account));
    review.expect_says(&["Your application is under review", &way_on]);
    review.expect_silent_about(&["prequalified", "/capital/apply"]);

    press(&app, &offer, Button::Approve, "paid_out").await;
    tell_transactions(&app, &account).await;
    let begun = browser.open("/capital").await;
    begun.expect_says(&[
        "$1,100.00 remaining",
        "role=\"img\"",
        "of $1,100.00",
        "What happens next",
        "+$1,000.00",
    ]);
    begun.expect_silent_about(&["add up to"]);

    // Stripe's summary is remembered until something is heard of the account.
    app.clock.advance(chrono::TimeDelta::seconds(1));
    browser.open("/capital").await.expect_says(&["$1,100.00 remaining"]);
    sell(&app, &account, 100_000);
    browser.open("/capital").await.expect_says(&["$1,100.00 remaining"]);
    app.clock.advance(chrono::TimeDelta::seconds(1));
    tell_transactions(&app, &account).await;
    let progress = browser.open("/capital").await;
    progress.expect_says(&[
        "$950.00 remaining",
        "$150.00 paid",
        "This payment period",
        "Portion of sales",
        "\u{2212}$150.00",
    ]);
    progress.expect_silent_about(&["add up to", "Paydown", "your loan"]);

    press(&app, &offer, Button::Repay, "fully_repaid").await;
    tell_transactions(&app, &account).await;
    let full = browser.open("/capital").await;
    full.expect_says(&["Your financing is paid in full", "Funds sent on", "\u{2212}$950.00"]);
    full.expect_silent_about(&["remaining", "under review"]);
    app.finish().await;
}

/// The events that the simulator made about an account's transactions.
async fn tell_transactions(app: &TestApp, account: &str) {
    for event in app.stripe.events() {
        let object = &event["data"]["object"];
        if event["type"] == "capital.financing_transaction.created" && object["account"] == account {
            app.stripe_sends(&event).await.expect_kept();
        }
    }
    app.run_due_work().await;
}

fn sell(app: &TestApp, account: &str, amount: i64) {
    let sale = Charge { amount, kind: ChargeKind::Direct { application_fee: 0 } };
    app.stripe.charge(account, &sale).unwrap();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn sums_that_differ_from_stripes_are_shown_counted_and_looked_into(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    for (button, event) in [(Button::Apply, "accepted"), (Button::Approve, "paid_out")] {
        press(&app, &offer, button, event).await;
    }
    tell_transactions(&app, &account).await;
    app.app.read_transactions().await.unwrap();
    // A sale whose event never comes.
    sell(&app, &account, 100_000);
    app.clock.advance(chrono::TimeDelta::minutes(2));
    let browser = Browser::signed_in(&app, &account).await;
    let differing = browser.open("/capital").await;
    differing.expect_says(&["$950.00 remaining", "The transactions that we know of add up to $0.00"]);
    let hour = app.clock.now() + chrono::TimeDelta::hours(1);
    assert_eq!(capital_courier::financing::summary::store::differing(&app.db, hour).await.unwrap(), 1);

    // The list of transactions is read at once, and finds what was missing.
    app.app.read_transactions().await.unwrap();
    app.clock.advance(chrono::TimeDelta::minutes(2));
    let agreeing = browser.open("/capital").await;
    agreeing.expect_says(&["$950.00 remaining", "\u{2212}$150.00"]);
    agreeing.expect_silent_about(&["add up to"]);
    assert_eq!(capital_courier::financing::summary::store::differing(&app.db, hour).await.unwrap(), 0);

    // Without Stripe the figures are those of before, and say so.
    app.clock.advance(chrono::TimeDelta::minutes(2));
    app.stripe.fail(Fault {
        method: "GET",
        path: "financing_summary",
        times: 10,
        trouble: Trouble::Answer { status: 500, code: "api_error", headers: Vec::new() },
    });
    browser.open("/capital").await.expect_says(&["Newer figures are not available", "$950.00 remaining"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_way_on_to_stripe_is_made_anew_for_each_visit(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    let mut links = Vec::new();
    for _ in 0..2 {
        let onward = browser.open("/capital/apply").await;
        assert_eq!((onward.status, onward.header("cache-control")), (303, "no-store"));
        assert_eq!(onward.header("referrer-policy"), "no-referrer");
        links.push(onward.header("location").to_owned());
    }
    assert_ne!(links[0], links[1]);
    assert!(links[0].contains("/_connect/capital/"), "{}", links[0]);

    // The link opens once; later it leads back to where another is made.
    let stripe = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    assert_eq!(stripe.get(&links[0]).send().await.unwrap().status(), 200);
    let again = stripe.get(&links[0]).send().await.unwrap();
    let back = format!("https://courier.rocket.example/capital/apply?for={}", tag(&account));
    assert_eq!(again.headers()["location"], back.as_str());

    // A look, or a browser that looks ahead, uses no link up.
    let before = app.stripe.calls().len();
    for path in ["/capital/apply", "/capital/report"] {
        for ahead in [("Sec-Purpose", "prefetch;prerender"), ("Purpose", "prefetch"), ("X-Moz", "prefetch")] {
            assert_eq!(browser.ask(Method::GET, path, &[ahead]).await.status, 204, "{ahead:?}");
        }
        assert_eq!(browser.ask(Method::HEAD, path, &[]).await.status, 204);
    }
    assert_eq!(app.stripe.calls().len(), before);

    press(&app, &offer, Button::Expire, "expired").await;
    let nothing = browser.open("/capital/apply").await;
    assert_eq!(nothing.status, 404);
    assert!(nothing.text.contains("There is nothing to open right now"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn one_account_cannot_use_up_what_stripe_allows_to_all(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = delivered(&app).await;
    let (_, other) = delivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    for path in ["/capital/apply", "/capital/report"].repeat(5) {
        assert_ne!(browser.open(path).await.status, 429);
    }
    let before = app.stripe.calls().len();
    // By whichever session.
    let second = open_visit(&app, &account, "second").await;
    for browser in [&browser, &second] {
        let refused = browser.open("/capital/apply").await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "2"));
        assert!(refused.text.contains("This page isn’t available at the moment"), "{}", refused.text);
    }
    assert_eq!(app.stripe.calls().len(), before, "Stripe was asked all the same");
    browser.open("/capital").await.expect_says(&["Start your application"]);
    let elsewhere = open_visit(&app, &other, "other").await;
    assert_eq!(elsewhere.open("/capital/apply").await.status, 303, "another account has its own");
    app.clock.advance(chrono::TimeDelta::seconds(2));
    assert_eq!(browser.open("/capital/apply").await.status, 303);
    assert_eq!(browser.open("/capital/apply").await.status, 429);
    app.finish().await;
}

/// A visit beside that of `Browser::signed_in`.
async fn open_visit<'a>(app: &'a TestApp, account: &str, id: &str) -> Browser<'a> {
    let mut browser = Browser::new(app);
    let entered = browser.open(&format!("/capital?token={}", token(app, account, id))).await;
    browser.cookie = cookie_of(&entered);
    browser
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_tab_of_one_shop_does_nothing_for_the_shop_that_signed_in_after_it(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, first) = delivered(&app).await;
    let (_, second) = delivered(&app).await;
    let page = Browser::signed_in(&app, &first).await.open("/capital").await;
    page.expect_says(&[&format!("/capital/apply?for={}", tag(&first))]);
    // The same browser, and so the same cookie.
    let browser = open_visit(&app, &second, "second").await;
    let calls = app.stripe.calls().len();
    for path in
        ["/capital", "/capital/apply", "/capital/report", "/capital/statement", "/capital/statement.csv"]
    {
        for whose in [&*tag(&first), "", "0"] {
            let shown = browser.open(&format!("{path}?for={whose}")).await;
            assert_eq!(shown.status, 401, "{path}");
            assert!(shown.text.contains("Please open this page from your dashboard"), "{}", shown.text);
        }
    }
    assert_eq!(app.stripe.calls().len(), calls, "Stripe was asked for the wrong shop");
    for (path, status) in [("/capital", 200), ("/capital/apply", 303), ("/capital/statement", 200)] {
        assert_eq!(browser.open(&format!("{path}?for={}", tag(&second))).await.status, status);
        assert_eq!(browser.open(path).await.status, status, "without the tag it is the session's");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_is_older_is_the_same_accounts(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    for (button, event) in [(Button::Apply, "accepted"), (Button::Approve, "paid_out")] {
        press(&app, &offer, button, event).await;
    }
    for _ in 0..21 {
        sell(&app, &account, 1_000);
    }
    tell_transactions(&app, &account).await;
    let browser = Browser::signed_in(&app, &account).await;
    let newest = browser.open("/capital").await;
    let older = link(&newest, &format!("/capital?for={}&amp;before=", tag(&account)));
    browser.open(&older).await.expect_says(&["+$1,000.00", "href=\"/capital?for="]);
    let statement = browser.open(&link(&newest, "/capital/statement?for=")).await;
    let before = link(&statement, &format!("/capital/statement?for={}&amp;month=2026-10", tag(&account)));
    browser.open(&before).await.expect_says(&["There are no transactions in this month"]);
    let file = link(&statement, &format!("/capital/statement.csv?for={}&amp;month=2026-11", tag(&account)));
    assert!(browser.open(&file).await.text.contains("2026-11-24,USD"));
    app.finish().await;
}

/// The address of a link on a page that begins so, as a browser reads it.
fn link(page: &Shown, beginning: &str) -> String {
    let (_, rest) = page.text.split_once(&format!("href=\"{beginning}")).expect(beginning);
    let address = format!("{beginning}{}", rest.split('"').next().unwrap());
    address.replace("&amp;", "&").split('#').next().unwrap().to_owned()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_token_that_was_made_for_a_day_opens_nothing_at_its_end(db: PgPool) {
    let app = TestApp::start(db).await;
    let now = app.clock.now().timestamp();
    let lasting =
        json!({"sub": "acct_1", "aud": "capital-courier", "iat": now, "exp": now + 86_400, "jti": "x"});
    let path = format!("/capital?token={}", signed(&lasting));
    assert_eq!(Browser::new(&app).open(&path).await.status, 401);
    app.clock.advance(chrono::TimeDelta::seconds(86_400 - 60));
    assert_eq!(Browser::new(&app).open(&path).await.status, 401);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_address_that_says_a_thing_twice_gets_a_page_too(db: PgPool) {
    let app = TestApp::start(db).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    for path in [
        "/capital?token=a&token=b",
        "/capital?before=1&before=2",
        "/capital/statement?month=2026-10&month=2026-11",
        "/capital/statement.csv?month=2026-10&month=2026-11",
        "/capital/apply?for=1&for=2",
        "/capital/report?for=1&for=2",
    ] {
        let shown = browser.open(path).await;
        assert_eq!((shown.status, shown.header("content-type")), (400, "text/html; charset=utf-8"), "{path}");
        assert!(shown.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(shown.text.contains("Please open this page from your dashboard"), "{}", shown.text);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn whatever_is_answered_is_kept_by_nobody_and_no_address_goes_anywhere(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = delivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    let entering = format!("/capital?token={}", token(&app, &account, "again"));
    let mut seen = Vec::new();
    for (method, path) in [
        (Method::GET, &*entering),
        (Method::GET, "/capital"),
        (Method::GET, "/capital/apply"),
        (Method::HEAD, "/capital/apply"),
        (Method::GET, "/capital/statement.csv"),
        (Method::GET, "/capital?token=a&token=b"),
        (Method::POST, "/capital"),
        (Method::PUT, "/capital/statement"),
        (Method::PUT, "/unsubscribe/token"),
        (Method::GET, "/unsubscribe/%FF"),
    ] {
        let shown = browser.ask(method, path, &[]).await;
        assert_eq!(shown.header("cache-control"), "no-store", "{path}");
        assert_eq!(shown.header("referrer-policy"), "no-referrer", "{path}");
        seen.push(shown.status);
    }
    assert_eq!(seen, [303, 200, 303, 204, 200, 400, 405, 405, 405, 400]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn of_several_cookies_the_newest_visit_counts(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = delivered(&app).await;
    let mut browser = Browser::signed_in(&app, "acct_1").await;
    let old = browser.cookie.clone().unwrap();
    app.clock.advance(chrono::TimeDelta::seconds(1));
    let new = open_visit(&app, &account, "new").await.cookie.unwrap();
    let unknown = format!("courier_session={}", "A".repeat(43));
    for cookies in [
        format!("courier_session=garbage; {new}"),
        format!("courier_session=; {unknown}; {new}; {old}"),
        format!("{old}; {new}"),
        format!("{new}; {old}"),
    ] {
        browser.cookie = Some(cookies);
        browser.open("/capital").await.expect_says(&["Start your application"]);
    }
    browser.cookie = Some(format!("courier_session=garbage; {old}"));
    browser.open("/capital").await.expect_says(&["There is no financing offer right now"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_visits_of_an_account_end_when_it_is_erased(db: PgPool) {
    let app = TestApp::start(db).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    let other = open_visit(&app, "acct_2", "other").await;
    let mut tx = app.db.begin().await.unwrap();
    let erased = erase_account(&mut tx, "acct_1", false, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(erased.visits, 1);
    assert_eq!(browser.open("/capital").await.status, 401);
    assert_eq!(other.open("/capital").await.status, 200);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_account_that_left_the_platform_has_nothing_to_open(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    for (status, code, shown) in
        [(403, "account_invalid", 404), (403, "forbidden", 503), (500, "api_error", 503)]
    {
        stub.answer("/v1/account_links", status, refusal(code));
        assert_eq!(browser.open("/capital/apply").await.status, shown, "{status} {code}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_month_is_a_page_to_print_and_a_file_for_a_spreadsheet(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    for (button, event) in [(Button::Apply, "accepted"), (Button::Approve, "paid_out")] {
        press(&app, &offer, button, event).await;
    }
    sell(&app, &account, 100_000);
    tell_transactions(&app, &account).await;
    let browser = Browser::signed_in(&app, &account).await;
    let month = browser.open("/capital/statement").await;
    month.expect_says(&["Monthly statement", "America/New_York", "Nov 24, 2026", "$1,100.00", "$150.00"]);
    let file = browser.open("/capital/statement.csv?month=2026-11").await;
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"capital-2026-11.csv\"");
    assert_eq!(
        file.text,
        "date,currency,financing_and_fee,withheld,paid_otherwise,paid,transactions,unclear\r\n\
         2026-11-24,USD,1100.00,150.00,0.00,150.00,2,0\r\n"
    );
    browser
        .open("/capital/statement?month=2026-10")
        .await
        .expect_says(&["There are no transactions in this month"]);
    // What is no month, or none yet, is the month that runs.
    for odd in ["2027-01", "x", "0001-01", "99999-12", "2026-11-01"] {
        let shown = browser.open(&format!("/capital/statement?month={odd}")).await;
        shown.expect_says(&["November\u{a0}1, 2026"]);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn how_an_offer_ended_is_said_in_plain_words(db: PgPool) {
    let app = TestApp::start(db).await;
    for (buttons, words) in [
        (
            &[(Button::Apply, "accepted"), (Button::Reject, "rejected")][..],
            "Your application was not approved",
        ),
        (&[(Button::Apply, "accepted"), (Button::Cancel, "canceled")], "Your financing was canceled"),
        (&[(Button::Expire, "expired")], "Your offer has expired"),
    ] {
        let (offer, account) = delivered(&app).await;
        for (button, event) in buttons {
            press(&app, &offer, *button, event).await;
        }
        let browser = Browser { cookie: None, ..Browser::new(&app) };
        let entered = browser.open(&format!("/capital?token={}", token(&app, &account, &offer))).await;
        let browser = Browser { cookie: cookie_of(&entered), ..browser };
        browser.open("/capital").await.expect_says(&[words]);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_page_speaks_the_language_of_its_reader(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = delivered(&app).await;
    let mut browser = Browser::signed_in(&app, &account).await;
    for (language, words) in [
        ("de-AT,de;q=0.9", ["Sie sind vorqualifiziert", "Antrag beginnen"]),
        ("fr-FR", ["Votre entreprise est préqualifiée", "Commencer votre demande"]),
        ("nl, de;q=0.5", ["Sie sind vorqualifiziert", "Antrag beginnen"]),
        ("nl", ["You’re prequalified", "Start your application"]),
    ] {
        browser.language = language;
        browser.open("/capital").await.expect_says(&words);
    }
    app.finish().await;
}
