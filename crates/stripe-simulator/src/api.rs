//! One request: what goes wrong with it, whose it is, whether it came before, and who answers it.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use chrono::TimeDelta;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use url::{Host, Url};

use super::answer::Answer;
use super::faults::Trouble;
use super::state::{Call, Remembered};
use super::{Shared, control, dashboard, link, page, routes};

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("dropped the connection, as was asked for")]
pub(crate) struct Dropped;

/// A request, read whole.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Answers one request, or drops its connection.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: query.into_owned().collect(),
        headers: head.headers,
        body,
    };
    let trouble = shared.state().take_trouble(&asked.method, &asked.path);
    if let Some(Trouble::Stall(duration)) = trouble {
        tokio::time::sleep(duration).await;
    }
    let answered = in_trouble(&shared, &asked, trouble.as_ref());
    let request_id = record(&shared, &asked, answered.as_ref().ok());
    let version = asked.header("Stripe-Version").unwrap_or("2025-09-30.preview").to_owned();
    let date = shared.clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headed = |answer: Answer| answer.with("Stripe-Version", version).with("Date", date);
    answered.map(|answer| headed(answer).into_response(&request_id))
}

fn in_trouble(
    shared: &Arc<Shared>,
    asked: &Asked,
    trouble: Option<&Trouble>,
) -> Result<Answer, Dropped> {
    if let Some(refused) = refuse_strangers(asked) {
        return Ok(refused);
    }
    match trouble {
        None | Some(Trouble::Stall(_)) => Ok(authenticated(shared, asked, false)),
        Some(Trouble::Answer { status, code, headers }) => {
            let kind = if *status >= 500 { "api_error" } else { "invalid_request_error" };
            let mut answer =
                Answer::error(*status, kind, Some(code), "The simulator was asked to answer so.");
            answer.headers.clone_from(headers);
            Ok(answer)
        }
        Some(Trouble::Remembered500) => Ok(authenticated(shared, asked, true)),
        Some(Trouble::Garbage) => Ok(Answer::ok("<html>502 Bad Gateway</html>".into())),
        Some(Trouble::Page { status, headers }) => {
            let mut answer = Answer::html(*status, "<html>The proxy has a page.</html>".to_owned());
            answer.headers.clone_from(headers);
            Ok(answer)
        }
        Some(Trouble::DropBefore) => Err(Dropped),
        Some(Trouble::DropAfter) => {
            authenticated(shared, asked, false);
            Err(Dropped)
        }
    }
}

/// Its pages need no key, so a page of any site could press their buttons in the browser of whoever runs the demo, and
/// with a name of its own that leads to 127.0.0.1 (DNS rebinding) read them as well. Programs send neither header.
fn refuse_strangers(asked: &Asked) -> Option<Answer> {
    let is_ours = |origin: &str| {
        let host = Url::parse(origin).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        match host {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    };
    let host = asked.header("Host").map(|host| format!("http://{host}"));
    // From one page of ours to another on another port it is `same-site`, as from the service to the simulator.
    let from_elsewhere =
        asked.header("Sec-Fetch-Site") == Some("cross-site") && asked.method == "POST";
    let origin_is_foreign = asked.header("Origin").is_some_and(|origin| !is_ours(origin));
    if host.is_some_and(|host| is_ours(&host)) && !origin_is_foreign && !from_elsewhere {
        return None;
    }
    Some(Answer::error(
        403,
        "invalid_request_error",
        None,
        "The simulator answers this machine alone: open it as http://127.0.0.1",
    ))
}

/// Remembers the call and gives it its `Request-Id`.
fn record(shared: &Shared, asked: &Asked, answer: Option<&Answer>) -> String {
    let header = |name| asked.header(name).map(str::to_owned);
    let mut state = shared.state();
    state.calls.push(Call {
        method: asked.method.clone(),
        path: asked.path.clone(),
        idempotency_key: header("Idempotency-Key"),
        stripe_account: header("Stripe-Account"),
        stripe_version: header("Stripe-Version"),
        status: answer.map(|answer| answer.status),
    });
    state.new_id("req_")
}

fn authenticated(shared: &Arc<Shared>, asked: &Asked, fail: bool) -> Answer {
    if let Some(page) = page::answer(shared, asked).or_else(|| dashboard::answer(shared, asked)) {
        return page;
    }
    if asked.path.starts_with("/_simulator/") {
        return control::answer(shared, asked);
    }
    // For browsers: the secret in the address is the key.
    if asked.path.starts_with("/_connect/") {
        return link::answer(shared, asked);
    }
    match key_of(asked) {
        Some(key) if key == shared.api_key => {}
        Some(_) => {
            return Answer::error(401, "invalid_request_error", None, "Invalid API Key provided");
        }
        None => {
            let message =
                "You did not provide an API key. Use HTTP basic or bearer authentication.";
            return Answer::error(401, "invalid_request_error", None, message);
        }
    }
    if asked.method != "POST" {
        return routes::answer(shared, asked);
    }
    let content_type = asked.header("Content-Type").unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return Answer::invalid(
            None,
            "Unsupported content type: use application/x-www-form-urlencoded",
        );
    }
    once(shared, asked, fail)
}

/// Carries a POST out once for its key (<https://docs.stripe.com/api/idempotent_requests>).
fn once(shared: &Arc<Shared>, asked: &Asked, fail: bool) -> Answer {
    let carry_out = || {
        if fail {
            Answer::error(500, "api_error", None, "The simulator was asked to fail.")
        } else {
            routes::answer(shared, asked)
        }
    };
    let Some(key) = asked.header("Idempotency-Key") else { return carry_out() };
    if key.len() > 255 {
        return Answer::invalid(None, "Idempotency-Key is longer than 255 characters");
    }
    let request =
        format!("{} {} {}", asked.method, asked.path, String::from_utf8_lossy(&asked.body));
    let now = shared.clock.now();
    {
        let mut state = shared.state();
        let fresh =
            state.remembered.get(key).filter(|before| now - before.at < TimeDelta::hours(24));
        match fresh {
            Some(before) if before.request != request => {
                let message =
                    "Keys for idempotent requests can only be used with the same parameters.";
                return Answer::error(400, "idempotency_error", None, message);
            }
            Some(Remembered { answer: Some(answer), .. }) => {
                return answer.clone().with("Idempotent-Replayed", "true");
            }
            Some(Remembered { answer: None, .. }) => {
                let message =
                    "There is currently another in-progress request using this Idempotent Key.";
                return Answer::error(
                    409,
                    "idempotency_error",
                    Some("idempotency_key_in_use"),
                    message,
                );
            }
            None => {}
        }
        state.remembered.insert(key.to_owned(), Remembered { request, at: now, answer: None });
    }
    let answer = carry_out();
    let mut state = shared.state();
    // Answers from before the carrying out began are not remembered: there the mistake can be mended under the same key.
    if answer.status == 404 {
        state.remembered.remove(key);
    } else if let Some(remembered) = state.remembered.get_mut(key) {
        remembered.answer = Some(answer.clone());
    }
    answer
}

/// Bearer, or the user of basic authentication.
fn key_of(asked: &Asked) -> Option<String> {
    let given = asked.header("Authorization")?;
    if let Some(key) = given.strip_prefix("Bearer ") {
        return Some(key.to_owned());
    }
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(given.strip_prefix("Basic ")?).ok()?;
    String::from_utf8(decoded).ok()?.split(':').next().map(str::to_owned)
}
