//! A merchant's browser, and the dashboard's sign-in tokens.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use capital_courier::app::App;
use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stripe_simulator::Action;

use super::TestApp;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub struct PageResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl PageResponse {
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
    pub app: &'a TestApp,
    pub cookie: Option<String>,
    pub language: &'static str,
}

impl<'a> Browser<'a> {
    pub fn new(app: &'a TestApp) -> Self {
        Self { app, cookie: None, language: "en-US,en;q=0.9" }
    }

    /// Signs in with a token of the dashboard.
    pub async fn signed_in(app: &'a TestApp, account: &str) -> Self {
        let mut browser = Self::new(app);
        let response =
            browser.open(&format!("/capital?token={}", token(app, account, account))).await;
        assert_eq!(response.header("location"), section_of(account), "{}", response.text);
        browser.cookie = cookie_of(&response);
        browser
    }

    pub async fn open(&self, path: &str) -> PageResponse {
        self.ask(Method::GET, path, &[]).await
    }

    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> PageResponse {
        self.ask_at(&self.app.app, (method, path), headers).await
    }

    /// As [`Browser::ask`], at another process.
    pub async fn ask_at(
        &self,
        at: &App,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
    ) -> PageResponse {
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
        expect_each_once(&head.headers);
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        // The templates escape slashes.
        let text = text.replace("&#x2f;", "/");
        PageResponse { status: head.status.as_u16(), headers: head.headers, text }
    }
}

/// Proxies differ in which of two headers with the same name they use.
pub fn expect_each_once(headers: &HeaderMap) {
    for name in headers.keys() {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name}: {values:?}");
    }
}

pub fn cookie_of(response: &PageResponse) -> Option<String> {
    response.header("set-cookie").split(';').next().map(str::to_owned)
}

/// The URL of the account's section.
pub fn section_of(account: &str) -> String {
    format!("/capital?for={}", tag(account))
}

pub fn tag(account: &str) -> String {
    hex::encode(Sha256::digest(account))[..12].to_owned()
}

pub fn token(app: &TestApp, account: &str, id: &str) -> String {
    let now = app.clock.now().timestamp();
    signed(
        &json!({"sub": account, "aud": "capital-courier", "iat": now, "exp": now + 60, "jti": id}),
    )
}

pub fn signed(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
        .unwrap()
}

/// An offer that was emailed, and its account.
pub async fn delivered(app: &TestApp) -> (String, String) {
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    let account =
        app.one("select account_id from financing_offers where offer_id = $1", &offer).await;
    (offer, account)
}

pub async fn press(app: &TestApp, offer: &str, button: Action, event: &str) {
    app.stripe.perform(button, offer).unwrap();
    app.stripe_sends(&app.event(offer, &format!("capital.financing_offer.{event}")))
        .await
        .expect_kept();
    app.run_due_work().await;
}
