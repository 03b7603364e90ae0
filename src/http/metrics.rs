//! Requests by route, method and status class, and their duration.

use std::borrow::Cow;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::telemetry::metrics::{Counters, Durations, REQUEST, Registry};

/// The requests to this process. Clones share the counters.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    requests: Counters<3>,
    durations: Durations<1>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            requests: Counters::new(["route", "method", "status"]),
            durations: Durations::new(["route"], REQUEST),
        }
    }
}

impl RequestMetrics {
    /// The route is its template, such as `/api/v1/accounts/{account}/offers`: a path contains ids.
    fn answered(&self, route: String, method: &'static str, status: u16, started: Instant) {
        let class = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.durations.observe([route.clone()], started.elapsed());
        self.requests.increment([Cow::Owned(route), Cow::Borrowed(method), Cow::Borrowed(class)]);
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests by the route's template, method and class of status";
        self.requests.register(registry, "http_requests", help);
        let help = "From the end of a request's headers until its response began";
        self.durations.register(registry, "http_request_duration_seconds", help);
    }
}

/// Middleware around the routes of a router.
pub async fn measure(
    State(metrics): State<RequestMetrics>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let (started, method) = (Instant::now(), method_label(request.method()));
    let response = next.run(request).await;
    metrics.answered(route.as_str().to_owned(), method, response.status().as_u16(), started);
    response
}

/// A method can be any text.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
