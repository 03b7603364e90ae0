//! Answers as Stripe gives them (<https://docs.stripe.com/api/errors>).

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use serde_json::{Value, json};

/// A status and a body, before the headers that every answer has.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: Vec<(&'static str, String)>,
    content_type: &'static str,
}

const JSON: &str = "application/json";

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body, headers: Vec::new(), content_type: JSON }
    }

    /// An error in Stripe's shape.
    pub(crate) fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Self {
        let mut error = json!({"type": kind, "message": message});
        if let Some(code) = code {
            error["code"] = json!(code);
            error["doc_url"] =
                json!(format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")));
        }
        Self { status, body: json!({"error": error}), headers: Vec::new(), content_type: JSON }
    }

    pub(crate) fn invalid(code: Option<&str>, message: &str) -> Self {
        Self::error(400, "invalid_request_error", code, message)
    }

    pub(crate) fn missing(what: &str, id: &str) -> Self {
        Self::error(
            404,
            "invalid_request_error",
            Some("resource_missing"),
            &format!("No such {what}: '{id}'"),
        )
    }

    /// A page for a person.
    pub(crate) fn html(status: u16, page: String) -> Self {
        let headers = vec![
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'".to_owned()),
            ("Cache-Control", "no-store".to_owned()),
            // With `no-referrer` a browser would send our own forms with `Origin: null`.
            ("Referrer-Policy", "same-origin".to_owned()),
        ];
        Self {
            status,
            body: Value::String(page),
            headers,
            content_type: "text/html; charset=utf-8",
        }
    }

    /// Sends a browser elsewhere.
    pub(crate) fn see_other(url: &str) -> Self {
        Self::html(303, String::new()).with("Location", url)
    }

    /// Names the parameter that an error is about.
    #[must_use]
    pub(crate) fn about(mut self, parameter: &str) -> Self {
        self.body["error"]["param"] = json!(parameter);
        self
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn into_response(self, request_id: &str) -> Response<Full<Bytes>> {
        let mut response = Response::builder()
            .status(self.status)
            .header("Content-Type", self.content_type)
            .header("Request-Id", request_id);
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        // A body that is text alone is no JSON at all: a proxy's page.
        let text = self.body.as_str().map_or_else(|| self.body.to_string(), str::to_owned);
        response.body(Full::from(text)).expect("the simulator's headers are plain ASCII")
    }
}
