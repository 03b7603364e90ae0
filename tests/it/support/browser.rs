//! A merchant's browser, and the dashboard that it comes from.

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
    pub app: &'a TestApp,
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
        let entered =
            browser.open(&format!("/capital?token={}", token(app, account, account))).await;
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
    pub async fn ask_at(
        &self,
        at: &App,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
    ) -> Shown {
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
        // The templates write a slash as a reference; to a browser that is the same.
        let text = text.replace("&#x2f;", "/");
        Shown { status: head.status.as_u16(), headers: head.headers, text }
    }
}

/// A second header of the same name may be the one that somebody on the way goes by.
pub fn expect_each_once(headers: &HeaderMap) {
    for name in headers.keys() {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name}: {values:?}");
    }
}

pub fn cookie_of(entered: &Shown) -> Option<String> {
    entered.header("set-cookie").split(';').next().map(str::to_owned)
}

/// The section's address, as a browser stands on it that shows this account.
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
