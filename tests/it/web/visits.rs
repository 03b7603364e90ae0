//! Sessions of the Capital section: sign-in, URLs, cookies and redirects to Stripe.

use axum::http::Method;
use serde_json::json;
use sqlx::PgPool;
use stripe_simulator::Action;

use crate::support::browser::{
    Browser, PageResponse, cookie_of, delivered, press, section_of, signed, tag, token,
};
use crate::support::stripe::{Stub, refusal};
use crate::support::{TestApp, process};
use crate::web::section_phases::{sell, tell_transactions};

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_token_starts_one_session_and_leaves_the_url(db: PgPool) {
    let app = TestApp::start(db).await;
    let token = token(&app, "acct_1", "once");
    let mut browser = Browser::new(&app);
    let looked = browser.ask(Method::HEAD, &format!("/capital?token={token}"), &[]).await;
    assert_eq!(looked.status, 204, "a look uses nothing up");
    let entered = browser.open(&format!("/capital?token={token}")).await;
    assert_eq!((entered.status, entered.header("location")), (303, &*section_of("acct_1")));
    let cookie = entered.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-courier_session="), "{cookie}");
    for attribute in ["; Path=/;", "; Max-Age=3600", "; HttpOnly", "; SameSite=Lax", "; Secure"] {
        assert!(cookie.contains(attribute), "no {attribute} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(browser.open("/capital").await.status, 401, "without the cookie nobody is known");

    // A replayed token starts no session, but a browser with the session of the account passes.
    assert_eq!(browser.open(&format!("/capital?token={token}")).await.status, 401);
    browser.cookie = cookie.split(';').next().map(str::to_owned);
    let again = browser.open(&format!("/capital?token={token}")).await;
    assert_eq!((again.status, again.header("location")), (303, &*section_of("acct_1")));
    let page = browser.open("/capital").await;
    page.expect_says(&["There is no financing offer right now", "https://rocket.example/capital"]);
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));

    // The database has hashes only.
    let secret = browser.cookie.clone().unwrap();
    let rows: Vec<String> = sqlx::query_scalar(
        "select s::text from portal_sessions s union select t::text from portal_tokens t",
    )
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
async fn without_a_session_no_account_is_shown(db: PgPool) {
    let app = TestApp::start(db).await;
    let mut browser = Browser::new(&app);
    for value in [None, Some(""), Some("AAAA"), Some("%00")] {
        browser.cookie = value.map(|value| format!("__Host-courier_session={value}"));
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
            assert!(shown.text.contains("Your session has ended"), "{}", shown.text);
        }
    }
    assert!(app.stripe.requests().is_empty(), "Stripe was asked for somebody unknown");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn each_visit_gets_a_new_account_link(db: PgPool) {
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

    // A used link redirects back to the URL that creates another.
    let stripe =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    assert_eq!(stripe.get(&links[0]).send().await.unwrap().status(), 200);
    let again = stripe.get(&links[0]).send().await.unwrap();
    let back = again.headers()["location"].to_str().unwrap();
    let here = format!("/capital/apply?for={}&refresh=", tag(&account));
    let back = back.strip_prefix("https://courier.rocket.example").unwrap();
    assert!(back.starts_with(&here), "{back}");
    let secret = browser.cookie.as_deref().unwrap().split_once('=').unwrap().1;
    assert!(!back.contains(secret), "{back}");

    // To the browser Stripe is cross-site. Without the mark, any site could use up the links.
    let other_site = ("Sec-Fetch-Site", "cross-site");
    let third = browser.ask(Method::GET, back, &[other_site]).await;
    assert!(
        third.header("location").contains("/_connect/capital/"),
        "{}",
        third.header("location")
    );
    let made = app.stripe.requests().len();
    let other_mark = format!("{here}{}", "0".repeat(32));
    for path in ["/capital/apply", "/capital/report", &*here, &*other_mark] {
        let sent = browser.ask(Method::GET, path, &[other_site]).await;
        assert_eq!((sent.status, sent.header("location")), (303, &*section_of(&account)), "{path}");
    }
    assert_eq!(app.stripe.requests().len(), made, "Stripe was asked for another site");
    for site in ["same-origin", "same-site", "none"] {
        let onward = browser.ask(Method::GET, "/capital/apply", &[("Sec-Fetch-Site", site)]).await;
        assert!(onward.header("location").contains("/_connect/capital/"), "{site}");
    }

    // HEAD requests and prefetches use up no link.
    let before = app.stripe.requests().len();
    for path in ["/capital/apply", "/capital/report"] {
        for ahead in
            [("Sec-Purpose", "prefetch;prerender"), ("Purpose", "prefetch"), ("X-Moz", "prefetch")]
        {
            assert_eq!(browser.ask(Method::GET, path, &[ahead]).await.status, 204, "{ahead:?}");
        }
        assert_eq!(browser.ask(Method::HEAD, path, &[]).await.status, 204);
    }
    assert_eq!(app.stripe.requests().len(), before);

    press(&app, &offer, Action::Expire, "expired").await;
    let nothing = browser.open("/capital/apply").await;
    assert_eq!(nothing.status, 404);
    assert!(nothing.text.contains("There is nothing to open right now"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn account_links_are_rate_limited_per_account(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = delivered(&app).await;
    let (_, other) = delivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    for path in ["/capital/apply", "/capital/report"].repeat(5) {
        assert_ne!(browser.open(path).await.status, 429);
    }
    let before = app.stripe.requests().len();
    // The limit covers all sessions of the account.
    let second = sign_in(&app, &account, "second").await;
    for browser in [&browser, &second] {
        let refused = browser.open("/capital/apply").await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "2"));
        assert!(
            refused.text.contains("This page isn’t available at the moment"),
            "{}",
            refused.text
        );
    }
    assert_eq!(app.stripe.requests().len(), before, "Stripe was asked all the same");
    browser.open("/capital").await.expect_says(&["Start your application"]);
    let elsewhere = sign_in(&app, &other, "other").await;
    assert_eq!(elsewhere.open("/capital/apply").await.status, 303, "another account has its own");
    app.clock.advance(chrono::TimeDelta::seconds(2));
    assert_eq!(browser.open("/capital/apply").await.status, 303);
    assert_eq!(browser.open("/capital/apply").await.status, 429);
    app.finish().await;
}

/// Signs in again, beside `Browser::signed_in`.
async fn sign_in<'a>(app: &'a TestApp, account: &str, id: &str) -> Browser<'a> {
    let mut browser = Browser::new(app);
    let entered = browser.open(&format!("/capital?token={}", token(app, account, id))).await;
    browser.cookie = cookie_of(&entered);
    browser
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_tab_of_one_account_cannot_act_for_another(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, first) = delivered(&app).await;
    let (_, second) = delivered(&app).await;
    let page = Browser::signed_in(&app, &first).await.open("/capital").await;
    page.expect_says(&[&format!("/capital/apply?for={}", tag(&first))]);
    // The same browser has only one cookie.
    let browser = sign_in(&app, &second, "second").await;
    let calls = app.stripe.requests().len();
    for path in [
        "/capital",
        "/capital/apply",
        "/capital/report",
        "/capital/statement",
        "/capital/statement.csv",
    ] {
        for whose in [&*tag(&first), "", "0"] {
            let shown = browser.open(&format!("{path}?for={whose}")).await;
            assert_eq!(shown.status, 401, "{path}");
            assert!(shown.text.contains("Your session has ended"), "{}", shown.text);
        }
    }
    assert_eq!(app.stripe.requests().len(), calls, "Stripe was asked for the wrong shop");
    for (path, status) in [("/capital", 200), ("/capital/apply", 303), ("/capital/statement", 200)]
    {
        assert_eq!(browser.open(&format!("{path}?for={}", tag(&second))).await.status, status);
        assert_eq!(browser.open(path).await.status, status, "without the tag it is the session's");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn older_transactions_belong_to_the_same_account(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    for (button, event) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
        press(&app, &offer, button, event).await;
    }
    for _ in 0..21 {
        sell(&app, &account, 1_000);
    }
    tell_transactions(&app, &account).await;
    let browser = Browser::signed_in(&app, &account).await;
    let newest = browser.open("/capital").await;
    newest.expect_says(&["22 transactions", "All 22 transactions of this week"]);
    // The oldest is not among the rows that the section lists.
    newest.expect_silent_about(&["Financing incl. flat fee"]);
    let week = format!("/capital/transactions?for={}&amp;week=2026-11-23", tag(&account));
    let week = browser.open(&link(&newest, &week)).await;
    // The balance after the payout, and after the last sale.
    week.expect_says(&["+$1,100.00", "$1,100.00", "$1,068.50", "href=\"/capital?for="]);
    let other = format!("/capital/transactions?for={}&amp;show=other", tag(&account));
    let other = browser.open(&link(&newest, &other)).await;
    other.expect_says(&["+$1,100.00"]);
    other.expect_silent_about(&["Portion of sales"]);
    let all = browser.open(&format!("/capital/transactions?for={}", tag(&account))).await;
    all.expect_says(&["Week of Nov 23, 2026", "$1,068.50 remaining"]);
    let earlier = browser.open("/capital/transactions?before=2026-11-23").await;
    earlier.expect_says(&["There are no transactions here"]);

    let statement = browser.open(&link(&newest, "/capital/statement?for=")).await;
    // Nothing leads to the time before the first movement; an address does.
    statement.expect_silent_about(&["period=2026-10"]);
    let before = format!("/capital/statement?for={}&period=2026-10", tag(&account));
    browser.open(&before).await.expect_says(&["There are no transactions in this month"]);
    let file = link(
        &statement,
        &format!("/capital/statement.csv?for={}&amp;period=2026-11", tag(&account)),
    );
    assert!(browser.open(&file).await.text.contains("2026-11-24,USD"));
    app.finish().await;
}

/// The unescaped URL of the link on the page that begins with `beginning`.
fn link(page: &PageResponse, beginning: &str) -> String {
    let (_, rest) = page.text.split_once(&format!("href=\"{beginning}")).expect(beginning);
    let address = format!("{beginning}{}", rest.split('"').next().unwrap());
    address.replace("&amp;", "&").split('#').next().unwrap().to_owned()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_long_lived_token_is_rejected_near_its_end(db: PgPool) {
    let app = TestApp::start(db).await;
    let now = app.clock.now().timestamp();
    let lasting = json!({
        "sub": "acct_1", "aud": "capital-courier", "iat": now, "exp": now + 86_400, "jti": "x",
    });
    let path = format!("/capital?token={}", signed(&lasting));
    assert_eq!(Browser::new(&app).open(&path).await.status, 401);
    app.clock.advance(chrono::TimeDelta::seconds(86_400 - 60));
    assert_eq!(Browser::new(&app).open(&path).await.status, 401);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_repeated_query_parameter_gets_a_notice(db: PgPool) {
    let app = TestApp::start(db).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    for path in [
        "/capital?token=a&token=b",
        "/capital?before=1&before=2",
        "/capital/statement?month=2026-10&month=2026-11",
        "/capital/statement.csv?month=2026-10&month=2026-11",
        "/capital/apply?for=1&for=2",
        "/capital/report?for=1&for=2",
        // Not of our links.
        "/capital/transactions?week=2026-11-25",
        "/capital/transactions?week=-4800-01-03",
        "/capital/transactions?before=-262143-01-01",
        "/capital/transactions?show=nonsense",
    ] {
        let shown = browser.open(path).await;
        assert_eq!(
            (shown.status, shown.header("content-type")),
            (400, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(
            shown.header("content-security-policy").contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(shown.text.contains("This link is not complete"), "{}", shown.text);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_response_is_cached_or_sends_a_referrer(db: PgPool) {
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
async fn the_newest_session_of_several_cookies_is_used(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = delivered(&app).await;
    let mut browser = Browser::signed_in(&app, "acct_1").await;
    let old = browser.cookie.clone().unwrap();
    app.clock.advance(chrono::TimeDelta::seconds(1));
    let new = sign_in(&app, &account, "new").await.cookie.unwrap();
    let unknown = format!("__Host-courier_session={}", "A".repeat(43));
    for cookies in [
        format!("__Host-courier_session=garbage; {new}"),
        format!("__Host-courier_session=; {unknown}; {new}; {old}"),
        format!("{}{new}", format!("{unknown}; ").repeat(50)),
        format!("{old}; {new}"),
        format!("{new}; {old}"),
    ] {
        browser.cookie = Some(cookies);
        browser.open("/capital").await.expect_says(&["Start your application"]);
    }
    browser.cookie = Some(format!("__Host-courier_session=garbage; {old}"));
    browser.open("/capital").await.expect_says(&["There is no financing offer right now"]);
    // A sibling domain can only set a cookie of another name.
    let (_, secret) = old.split_once('=').unwrap();
    browser.cookie = Some(format!("courier_session={secret}; __Secure-courier_session={secret}"));
    assert_eq!(browser.open("/capital").await.status, 401);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_cookie_has_the_strictest_possible_prefix(db: PgPool) {
    let app = TestApp::start(db).await;
    let mut browser = Browser::new(&app);
    for (url, begins, path) in [
        ("https://courier.rocket.example", "__Host-courier_session=", "; Path=/;"),
        ("https://rocket.example/courier", "__Secure-courier_session=", "; Path=/courier/capital;"),
        ("http://localhost:8080", "courier_session=", "; Path=/capital;"),
    ] {
        let at = app.another_with(&[("COURIER_HTTP__PUBLIC_URL", url)]);
        let entering = format!("/capital?token={}", token(&app, "acct_1", url));
        let entered = browser.ask_at(&at, (Method::GET, &entering), &[]).await;
        let cookie = entered.header("set-cookie");
        assert!(cookie.starts_with(begins) && cookie.contains(path), "{url}: {cookie}");
        assert_eq!(
            cookie.contains("Secure;") || cookie.ends_with("Secure"),
            url.starts_with("https")
        );
        browser.cookie = cookie_of(&entered);
        assert_eq!(browser.ask_at(&at, (Method::GET, "/capital"), &[]).await.status, 200, "{url}");
        browser.cookie = None;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn erasing_an_account_ends_its_sessions(db: PgPool) {
    let app = TestApp::start(db).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    let other = sign_in(&app, "acct_2", "other").await;
    let env = [("DATABASE_URL".to_owned(), process::url_of(&app.db))].into();
    let erase = ["account", "erase", "acct_1", "--yes", "--json", "--reason", "x"];
    let output = process::command(&erase, &env).output().await.unwrap();
    let erased: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(erased["visits"], 1, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(browser.open("/capital").await.status, 401);
    assert_eq!(other.open("/capital").await.status, 200);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_disconnected_account_gets_no_account_link(db: PgPool) {
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
