//! Responses and errors in Stripe's shape (<https://docs.stripe.com/api/errors>).

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use serde_json::{Value, json};

/// A status and a body, without the headers that every response has.
#[derive(Clone, Debug)]
pub(crate) struct ApiResponse {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Whether the endpoint began its work, so that the response belongs to the Idempotency-Key.
    /// Stripe does not store the refusal of a request that it did not begin to carry out.
    pub(crate) was_executed: bool,
    content_type: &'static str,
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// Scripts and styles are files of this origin, also behind a proxy.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                                       connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
                                       frame-ancestors 'none'";

impl ApiResponse {
    fn new(status: u16, content_type: &'static str, body: Value) -> Self {
        Self { status, body, headers: Vec::new(), was_executed: true, content_type }
    }

    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self::new(status, JSON, body)
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Self {
        let mut error = json!({"type": kind, "message": message});
        if let Some(code) = code {
            error["code"] = json!(code);
            error["doc_url"] =
                json!(format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")));
        }
        Self::new(status, JSON, json!({"error": error}))
    }

    /// The endpoint refuses what was asked for.
    pub(crate) fn invalid_request(code: Option<&str>, message: &str) -> Self {
        Self::error(400, "invalid_request_error", code, message)
    }

    /// A parameter fails validation: the endpoint never began its work.
    pub(crate) fn invalid_parameter(code: Option<&str>, message: &str, parameter: &str) -> Self {
        Self::invalid_request(code, message).about(parameter).not_executed()
    }

    pub(crate) fn not_found(object: &str, id: &str) -> Self {
        let message = format!("No such {object}: '{id}'");
        Self::error(404, "invalid_request_error", Some("resource_missing"), &message).about("id")
    }

    /// A page for a browser.
    pub(crate) fn html(status: u16, page: String) -> Self {
        let mut response = Self::new(status, HTML, Value::String(page));
        response.headers = vec![
            ("Content-Security-Policy", CONTENT_SECURITY_POLICY.to_owned()),
            ("Cache-Control", "no-store".to_owned()),
            // With `no-referrer` a browser would send our own forms with `Origin: null`.
            ("Referrer-Policy", "same-origin".to_owned()),
        ];
        response
    }

    /// A file that pages load.
    pub(crate) fn asset(content_type: &'static str, content: &str) -> Self {
        let response = Self::new(200, content_type, Value::String(content.to_owned()));
        response.with_header("Cache-Control", "no-cache")
    }

    pub(crate) fn see_other(url: &str) -> Self {
        Self::html(303, String::new()).with_header("Location", url)
    }

    /// Names the parameter that an error is about.
    #[must_use]
    pub(crate) fn about(mut self, parameter: &str) -> Self {
        self.body["error"]["param"] = json!(parameter);
        self
    }

    #[must_use]
    pub(crate) fn not_executed(mut self) -> Self {
        self.was_executed = false;
        self
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn into_http(self, request_id: &str) -> Response<Full<Bytes>> {
        let mut response = Response::builder()
            .status(self.status)
            .header("Content-Type", self.content_type)
            .header("Request-Id", request_id);
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        // A body that is a string is no JSON: a page, or a malformed body.
        let text = self.body.as_str().map_or_else(|| self.body.to_string(), str::to_owned);
        response.body(Full::from(text)).expect("the simulator's headers are plain ASCII")
    }
}
