//! A stub of Stripe with the responses that a test sets, for calls that the simulator does not have
//! or answers too well.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde_json::Value;

/// A request that the stub received.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path_and_query: String,
    pub stripe_account: Option<String>,
    pub stripe_version: Option<String>,
    pub body: String,
}

/// Chooses the response by a prefix of path and query; otherwise 404.
#[derive(Clone, Default)]
pub struct Stub(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    answers: Vec<(String, u16, Value)>,
    asked: Vec<Asked>,
}

impl Stub {
    /// Starts a stub. Returns it with its URL.
    pub async fn start() -> (Self, String) {
        let stub = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (stub, url)
    }

    /// Sets the response to requests whose path and query begin with this text.
    pub fn answer(&self, beginning: &str, status: u16, body: Value) {
        self.0.lock().unwrap().answers.insert(0, (beginning.to_owned(), status, body));
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }
}

async fn answer(State(stub): State<Stub>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path_and_query = head.uri.path_and_query().unwrap().to_string();
    let header = |name| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
    let mut inner = stub.0.lock().unwrap();
    inner.asked.push(Asked {
        path_and_query: path_and_query.clone(),
        stripe_account: header("Stripe-Account"),
        stripe_version: header("Stripe-Version"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let found = inner.answers.iter().find(|(beginning, ..)| path_and_query.starts_with(beginning));
    let (status, body) = found
        .map_or((404, refusal("resource_missing")), |(_, status, body)| (*status, body.clone()));
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// An error in Stripe's format.
pub fn refusal(code: &str) -> Value {
    serde_json::json!({"error": {
        "type": "invalid_request_error", "code": code, "message": "A secret of Stripe's.",
    }})
}

/// A list in Stripe's format.
pub fn list(data: &[Value]) -> Value {
    serde_json::json!({"object": "list", "data": data, "has_more": false})
}
