//! The API as its callers see it: keys, scopes, opt-outs and errors.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capital_courier::web::api::{Scope, keys};
use chrono::TimeDelta;
use http_body_util::BodyExt;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    /// The body as received; `body` is null if it is not JSON.
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    pub fn expect_refused(self, status: u16, code: &str) -> HeaderMap {
        assert_eq!(
            (self.status, self.body["error"]["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
        assert!(self.body["error"]["message"].as_str().is_some_and(|message| message.len() > 20));
        self.headers
    }
}

pub async fn send(app: &TestApp, request: Request<Body>) -> Answer {
    let response = tower::ServiceExt::oneshot(app.app.router().unwrap(), request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status: head.status.as_u16(), headers: head.headers, body, bytes: bytes.to_vec() }
}

/// Creates a key with these scopes and returns its secret.
pub async fn key(app: &TestApp, scopes: &[Scope]) -> String {
    let new = keys::create(app.app.db(), "a test", scopes, app.clock.now()).await.unwrap();
    new.secret.expose_secret().to_owned()
}

pub async fn call(app: &TestApp, key: &str, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Authorization", format!("Bearer {key}"))
        .body(Body::from(body.to_owned()))
        .unwrap();
    send(app, request).await
}

const ALL: [Scope; 2] = [Scope::OptOutsRead, Scope::OptOutsWrite];

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_request_needs_an_active_key_with_the_scope(db: PgPool) {
    let app = TestApp::start(db).await;
    let reader = key(&app, &[Scope::OptOutsRead]).await;
    let path = "/api/v1/accounts/acct_1/opt-out";
    let bare = Request::get(path).body(Body::empty()).unwrap();
    let headers = send(&app, bare).await.expect_refused(401, "missing_key");
    let challenges: Vec<_> = headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges.len(), 2, "{challenges:?}");
    for wrong in ["courier_", "sk_test_1", &format!("{reader}x"), ""] {
        call(&app, wrong, "GET", path, "").await.expect_refused(401, "bad_key");
    }
    call(&app, &reader, "GET", path, "").await.expect(200);
    let headers = call(&app, &reader, "PUT", path, "").await.expect_refused(403, "missing_scope");
    assert!(headers["www-authenticate"].to_str().unwrap().contains("insufficient_scope"));
    let basic = format!("Basic {}", STANDARD.encode(format!("any-user:{reader}")));
    let request = Request::get(path).header("Authorization", basic).body(Body::empty()).unwrap();
    send(&app, request).await.expect(200);

    let id: String = app.one("select key_id from api_keys where name = $1", "a test").await;
    let stored: Vec<u8> =
        app.one("select secret_sha256 from api_keys where name = $1", "a test").await;
    assert!(!stored.windows(8).any(|bytes| reader.as_bytes().windows(8).any(|part| part == bytes)));
    assert!(keys::store::revoke(&app.db, &id, app.clock.now()).await.unwrap());
    call(&app, &reader, "GET", path, "").await.expect_refused(401, "bad_key");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_last_use_of_a_key_is_recorded_hourly(db: PgPool) {
    let app = TestApp::start(db).await;
    let reader = key(&app, &[Scope::OptOutsRead]).await;
    let mut recorded = Vec::new();
    for minutes in [0, 30, 30] {
        app.clock.advance(TimeDelta::minutes(minutes));
        call(&app, &reader, "GET", "/api/v1/opt-outs", "").await.expect(200);
        recorded.push(keys::store::list(&app.db).await.unwrap()[0].last_used_at.unwrap());
    }
    assert_eq!(recorded[0], recorded[1]);
    assert_eq!(recorded[2] - recorded[1], TimeDelta::hours(1));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_repeated_opt_out_changes_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &ALL).await;
    let offer = app.offer();
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&offer, "waiting", None).await;

    let path = format!("/api/v1/accounts/{account}/opt-out");
    let before = call(&app, &key, "GET", &path, "").await.expect(200);
    assert_eq!(before, json!({"account": account, "opted_out": false}));
    let blank = call(&app, &key, "PUT", &path, r#"{"note": " "}"#).await.expect(200);
    assert_eq!((&blank["opted_out"], &blank["note"]), (&json!(true), &Value::Null));
    call(&app, &key, "DELETE", &path, "").await.expect(200);
    let first =
        call(&app, &key, "PUT", &path, r#"{"note": "asked in the dashboard"}"#).await.expect(200);
    assert_eq!(first["opted_out"], true);
    assert_eq!((&first["source"], &first["scope"]), (&json!("api"), &json!("capital_marketing")));
    assert_eq!(
        (&first["note"], &first["ended_at"]),
        (&json!("asked in the dashboard"), &Value::Null)
    );
    app.expect_letter(&offer, "suppressed", Some("opted_out")).await;
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(call(&app, &key, "PUT", &path, "").await.expect(200), first);
    assert_eq!(call(&app, &key, "GET", &path, "").await.expect(200), first);

    for _ in 0..2 {
        let ended = call(&app, &key, "DELETE", &path, "").await.expect(200);
        assert_eq!(ended, json!({"account": account, "opted_out": false}));
    }
    let history = call(&app, &key, "GET", "/api/v1/opt-outs?include=ended", "").await.expect(200);
    assert_eq!(history["data"][0]["ended_by"], "api");
    assert_eq!(history["data"].as_array().unwrap().len(), 2, "{history}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn opt_out_pages_list_each_entry_once(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &ALL).await;
    for number in 1..=5 {
        call(&app, &key, "PUT", &format!("/api/v1/accounts/acct_{number}/opt-out"), "")
            .await
            .expect(200);
    }
    call(&app, &key, "DELETE", "/api/v1/accounts/acct_3/opt-out", "").await.expect(200);
    for (include, expected) in [("", vec![1, 2, 4, 5]), ("&include=ended", vec![1, 2, 3, 4, 5])] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/opt-outs?limit=2{include}{cursor}");
            let page = call(&app, &key, "GET", &path, "").await.expect(200);
            let data = page["data"].as_array().unwrap().clone();
            assert!(data.len() <= 2);
            seen.extend(data.iter().map(|row| row["account"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(
            seen,
            expected.iter().map(|number| format!("acct_{number}")).collect::<Vec<_>>()
        );
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn invalid_requests_are_refused_with_a_code(db: PgPool) {
    let app = TestApp::start(db).await;
    let key = key(&app, &ALL).await;
    let account = "/api/v1/accounts/acct_1/opt-out";
    let long = json!({"note": "x".repeat(501)}).to_string();
    let large = json!({"note": "x".repeat(20_000)}).to_string();
    for (method, path, body, status, code) in [
        ("GET", "/api/v1/opt-outs?limit=0", "", 400, "bad_query"),
        ("GET", "/api/v1/opt-outs?limit=1001", "", 400, "bad_query"),
        ("GET", "/api/v1/opt-outs?cursor=acct_1", "", 400, "bad_query"),
        ("GET", "/api/v1/opt-outs?include=all", "", 400, "bad_query"),
        ("GET", "/api/v1/opt-outs?page=2", "", 400, "bad_query"),
        ("GET", "/api/v1/accounts/financingoffer_1/opt-out", "", 400, "bad_account"),
        ("GET", "/api/v1/accounts/%ff/opt-out", "", 400, "bad_account"),
        ("PUT", account, "{", 400, "malformed_body"),
        ("PUT", account, r#"{"notes": "x"}"#, 400, "malformed_body"),
        ("PUT", account, r#"{"note": "two\nlines"}"#, 400, "malformed_body"),
        ("PUT", account, r#"{"note": "\u0084"}"#, 400, "malformed_body"),
        ("PUT", account, &long, 400, "malformed_body"),
        ("PUT", account, &large, 413, "body_too_large"),
        ("POST", account, "", 405, "method_not_allowed"),
    ] {
        call(&app, &key, method, path, body).await.expect_refused(status, code);
    }
    sqlx::query("alter table opt_outs rename to elsewhere").execute(&app.db).await.unwrap();
    let headers = call(&app, &key, "PUT", account, "").await.expect_refused(503, "unavailable");
    assert!(headers.contains_key("retry-after"));
    app.abandon();
}
