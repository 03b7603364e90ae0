//! The console: who gets in, who may act, and what its pages show.

mod access;
mod cases;
mod pages;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;

use crate::support::TestApp;
use crate::support::browser::{PageResponse, cookie_of};

pub const TOKEN: &str = "a-token-of-the-acting-role";
pub const READ_ONLY_TOKEN: &str = "a-token-to-look-with-only";

pub const TOKENS: [(&str, &str); 3] = [
    ("COURIER_OPS__TOKEN", TOKEN),
    ("COURIER_OPS__READ_ONLY_TOKEN", READ_ONLY_TOKEN),
    ("COURIER_OPS__USER_HEADER", "X-Forwarded-User"),
];

/// An operator's browser.
pub struct Operator {
    console: Router,
    pub cookie: Option<String>,
}

impl Operator {
    pub fn new(app: &TestApp) -> Self {
        Self { console: app.app.console().unwrap(), cookie: None }
    }

    /// Signs in as Ada.
    pub async fn signed_in(app: &TestApp, token: &str) -> Self {
        let mut operator = Self::new(app);
        let answer = operator.sign_in(token, "Ada").await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        operator.cookie = cookie_of(&answer);
        operator
    }

    pub async fn sign_in(&self, token: &str, name: &str) -> PageResponse {
        self.post("/console/sign-in", &[("token", token), ("name", name)], &OURS).await
    }

    pub async fn open(&self, path: &str) -> PageResponse {
        self.ask(Request::get(path), "").await
    }

    /// Sends a form as the browser does from a page of the console.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> PageResponse {
        let csrf = csrf_of(&self.open("/console/jobs").await);
        let fields = [&[("csrf", csrf.as_str())], fields].concat();
        self.post(path, &fields, &OURS).await
    }

    pub async fn post(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> PageResponse {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask(request.header("Content-Type", "application/x-www-form-urlencoded"), &body).await
    }

    pub async fn ask(&self, request: axum::http::request::Builder, body: &str) -> PageResponse {
        let mut request = request.header("Host", HOST);
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", format!("other=1; {cookie}"));
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = tower::ServiceExt::oneshot(self.console.clone(), request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        // The templates escape slashes.
        let text = text.replace("&#x2f;", "/");
        PageResponse { status: head.status.as_u16(), headers: head.headers, text }
    }
}

pub const HOST: &str = "ops.rocket.example:9090";
/// What a browser sends with a form of the console.
pub const OURS: [(&str, &str); 1] = [("Origin", "http://ops.rocket.example:9090")];

pub fn csrf_of(page: &PageResponse) -> String {
    let after = page.text.split("name=\"csrf\" value=\"").nth(1);
    after
        .unwrap_or_else(|| panic!("no form in {}", page.text))
        .split('"')
        .next()
        .unwrap()
        .to_owned()
}
