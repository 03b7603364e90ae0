//! Sign-in, sessions, roles, bearers, forged forms and headers.

use axum::http::Request;
use chrono::TimeDelta;
use sqlx::PgPool;

use super::{OURS, Operator, READ_ONLY_TOKEN, TOKEN, TOKENS, csrf_of};
use crate::support::TestApp;
use crate::support::browser::cookie_of;

fn bearer(path: &str, token: &str) -> axum::http::request::Builder {
    Request::get(path).header("Authorization", format!("Bearer {token}"))
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_a_token_the_console_is_off_and_says_so(db: PgPool) {
    let app = TestApp::start(db).await;
    let operator = Operator::new(&app);
    for path in ["/console", "/console/jobs", "/console/sign-in"] {
        let page = operator.open(path).await;
        assert_eq!(page.status, 404);
        assert!(page.text.contains("set ops.token"), "{}", page.text);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_token_and_a_name_open_a_session_that_ends(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let mut operator = Operator::new(&app);
    let page = operator.open("/console/jobs?state=dead").await;
    let sign_in = "/console/sign-in?next=%2Fconsole%2Fjobs%3Fstate%3Ddead";
    assert_eq!((page.status, page.header("location")), (303, sign_in));
    operator.open(sign_in).await.expect_says(&["value=\"/console/jobs?state=dead\""]);

    let wrong = operator.sign_in("a-token-that-is-not-right", "Ada").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
    let nameless = operator.sign_in(TOKEN, "  ").await;
    assert_eq!((nameless.status, nameless.header("set-cookie")), (400, ""));

    let fields = [("token", TOKEN), ("name", "Ada"), ("next", "/console/jobs?state=dead")];
    let answer = operator.post("/console/sign-in", &fields, &OURS).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/console/jobs?state=dead"));
    let cookie = answer.header("set-cookie");
    for part in
        ["courier_console=", "HttpOnly", "SameSite=Strict", "Path=/console", "Max-Age=43200"]
    {
        assert!(cookie.contains(part), "no {part} in {cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}: over http the browser would drop it");
    operator.cookie = cookie_of(&answer);
    operator.open("/console/jobs").await.expect_says(&["<strong>Ada</strong>", "job list"]);

    app.clock.advance(TimeDelta::hours(11));
    assert_eq!(operator.open("/console/jobs").await.status, 200);
    app.clock.advance(TimeDelta::hours(2));
    assert_eq!(operator.open("/console/jobs").await.status, 303);
    let late = operator.post("/console/opt-outs/add", &[("account", "acct_1")], &OURS).await;
    assert_eq!(late.header("location"), "/console/sign-in?next=%2Fconsole");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn over_https_the_cookie_is_secure(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let operator = Operator::new(&app);
    let fields = [("token", TOKEN), ("name", "Ada")];
    let origin = [("Origin", "https://ops.rocket.example"), ("Sec-Fetch-Site", "same-origin")];
    let answer = operator.post("/console/sign-in", &fields, &origin).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Secure-courier_console="), "{cookie}");
    assert!(cookie.contains("; Secure"), "{cookie}");
    let secure = cookie_of(&answer).unwrap();
    let mut operator = Operator { cookie: Some(secure.clone()), ..operator };
    assert_eq!(operator.open("/console/jobs").await.status, 200);

    // A cookie that a page without https planted does not count beside it, and ends with it.
    let planted = cookie_of(&Operator::new(&app).sign_in(READ_ONLY_TOKEN, "Eve").await).unwrap();
    operator.cookie = Some(format!("{secure}; {planted}"));
    operator.open("/console/jobs").await.expect_says(&["<strong>Ada</strong>"]);
    assert_eq!(operator.submit("/console/sign-out", &[]).await.status, 303);
    for cookie in [secure, planted] {
        operator.cookie = Some(cookie);
        assert_eq!(operator.open("/console/jobs").await.status, 303);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_planted_cookie_is_worth_nothing_after_the_sign_in(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let planted = format!("courier_console={}", "A".repeat(43));
    let mut operator = Operator::new(&app);
    operator.cookie = Some(planted.clone());
    let answer = operator.sign_in(TOKEN, "Ada").await;
    let cookie = cookie_of(&answer).unwrap();
    assert_ne!(cookie, planted);
    assert_eq!(operator.open("/console/jobs").await.status, 303, "the planted cookie");

    // A second sign-in ends the session before it.
    operator.cookie = Some(cookie.clone());
    let again = operator.sign_in(TOKEN, "Ada").await;
    assert_eq!(operator.open("/console/jobs").await.status, 303, "the cookie before");
    operator.cookie = cookie_of(&again);
    assert_eq!(operator.open("/console/jobs").await.status, 200);
    let stored: String =
        sqlx::query_scalar("select string_agg(s::text, ' ') from console_sessions s")
            .fetch_one(&app.db)
            .await
            .unwrap();
    let secret = operator.cookie.as_deref().unwrap().split_once('=').unwrap().1;
    assert!(!stored.contains(secret) && !stored.contains(TOKEN), "{stored}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn sign_out_and_a_new_token_end_sessions(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let (ada, reader) =
        (Operator::signed_in(&app, TOKEN).await, Operator::signed_in(&app, READ_ONLY_TOKEN).await);
    let rotated = TestAppConsole::with(&app, "COURIER_OPS__TOKEN", "a-new-token-of-the-role");
    assert_eq!(rotated.open_as(&ada).await, 303);
    assert_eq!(rotated.open_as(&reader).await, 200, "its token is unchanged");
    assert_eq!(ada.open("/console/jobs").await.status, 200, "the old token is in force here");

    // The read-only token becomes the acting one: its session does not rise with it.
    let swapped = TestAppConsole::with(&app, "COURIER_OPS__TOKEN", READ_ONLY_TOKEN);
    assert_eq!(swapped.open_as(&reader).await, 303);

    let out = ada.submit("/console/sign-out", &[]).await;
    assert_eq!((out.status, out.header("location")), (303, "/console/sign-in"));
    assert_eq!(ada.open("/console/jobs").await.status, 303);
    assert_eq!(reader.submit("/console/sign-out", &[]).await.status, 303);
    assert_eq!(reader.open("/console/jobs").await.status, 303);
    app.finish().await;
}

/// The console of another process of the same platform.
struct TestAppConsole(axum::Router);

impl TestAppConsole {
    fn with(app: &TestApp, name: &str, token: &str) -> Self {
        let other = "another-token-to-look-with";
        let read_only = if token == READ_ONLY_TOKEN { other } else { READ_ONLY_TOKEN };
        let settings = [(name, token), ("COURIER_OPS__READ_ONLY_TOKEN", read_only)];
        Self(app.another_with(&settings).console().unwrap())
    }

    async fn open_as(&self, operator: &Operator) -> u16 {
        let there = Operator { console: self.0.clone(), cookie: operator.cookie.clone() };
        there.open("/console/jobs").await.status
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn attempts_to_sign_in_are_limited(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let operator = Operator::new(&app);
    // Another site in an operator's browser cannot use the limit up.
    let foreign = [("Origin", "http://evil.example")];
    for _ in 0..30 {
        let fields = [("token", "x"), ("name", "x")];
        assert_eq!(operator.post("/console/sign-in", &fields, &foreign).await.status, 403);
    }
    for _ in 0..5 {
        assert_eq!(operator.sign_in("a-guess-at-the-token", "Ada").await.status, 401);
    }
    let refused = operator.sign_in(TOKEN, "Ada").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "12"));
    app.clock.advance(TimeDelta::seconds(12));
    assert_eq!(operator.sign_in(TOKEN, "Ada").await.status, 303);

    let mut statuses = Vec::new();
    for _ in 0..60 {
        let guess = bearer("/console/jobs", "a-guess-at-the-token");
        statuses.push(operator.ask(guess, "").await.status);
    }
    assert_eq!((statuses[0], statuses[59]), (401, 429));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_bearer_is_named_by_the_proxy_and_never_without_a_token(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let operator = Operator::new(&app);
    operator
        .ask(bearer("/console/jobs", TOKEN).header("X-Forwarded-User", "grace@rocket.example"), "")
        .await
        .expect_says(&["<strong>grace@rocket.example</strong>"]);
    operator
        .ask(bearer("/console/jobs", READ_ONLY_TOKEN), "")
        .await
        .expect_says(&["<strong>token</strong> · read only"]);
    let alone = Request::get("/console/jobs").header("X-Forwarded-User", "grace@rocket.example");
    assert_eq!(operator.ask(alone, "").await.status, 303);
    let wrong = operator.ask(bearer("/console/jobs", "a-token-that-is-not-right"), "").await;
    assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, "Bearer"));
    let basic = Request::get("/console/jobs").header("Authorization", format!("Basic {TOKEN}"));
    assert_eq!(operator.ask(basic, "").await.status, 401);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_form_of_another_site_or_session_does_nothing(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let (ada, other) =
        (Operator::signed_in(&app, TOKEN).await, Operator::signed_in(&app, TOKEN).await);
    let csrf = csrf_of(&ada.open("/console/jobs").await);
    let others = csrf_of(&other.open("/console/jobs").await);
    assert_ne!(csrf, others);
    let foreign: [&[(&str, &str)]; 4] = [
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site"), OURS[0]],
        &[],
    ];
    for headers in foreign {
        let answer = ada.post("/console/sign-out", &[("csrf", &csrf)], headers).await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    for wrong in ["", "00", &others] {
        let answer = ada.post("/console/sign-out", &[("csrf", wrong)], &OURS).await;
        assert_eq!(answer.status, 403, "{wrong}");
    }
    // A proxy that signs its people in adds the bearer to a forged form too.
    let forged = Request::post("/console/sign-out")
        .header("Authorization", format!("Bearer {TOKEN}"))
        .header("Origin", "https://evil.example");
    assert_eq!(Operator::new(&app).ask(forged, "").await.status, 403);
    // A GET is not a form.
    assert_eq!(ada.open("/console/sign-out").await.status, 405);
    assert_eq!(ada.open("/console/jobs").await.status, 200);
    let long = "x".repeat(20_000);
    let answer = ada.post("/console/sign-out", &[("csrf", &csrf), ("a", &long)], &OURS).await;
    assert_eq!(answer.status, 400);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_answer_is_private_and_its_policy_strict(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let operator = Operator::signed_in(&app, TOKEN).await;
    for path in ["/console", "/console/jobs", "/console/sign-in", "/console/nowhere"] {
        let page = operator.open(path).await;
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
        assert!(!page.text.contains("<style") && !page.text.contains(" style="), "{path}");
    }
    let style = operator.open("/console/console.css").await;
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_name_cannot_become_markup(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let mut operator = Operator::new(&app);
    let answer = operator.sign_in(TOKEN, "<script>alert(1)</script>").await;
    operator.cookie = cookie_of(&answer);
    let page = operator.open("/console/jobs?said=%3Cb%3Eall+is+well&code=00").await;
    page.expect_says(&["&lt;script&gt;alert(1)&lt;/script&gt;"]);
    page.expect_silent_about(&["<script>alert", "all is well"]);
    app.finish().await;
}
