//! Handles one request: read the body, verify it, store it, respond.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tracing::{Instrument, field};

use super::rejection::Rejection;
use super::to_inbox::{self, AcceptError};
use super::{SecretId, Secrets, SignatureError, Webhook, signature};
use crate::http::VerifiedRequest;
use crate::http::body::{self, BodyLimits};
use crate::telemetry::LogLimit;
use crate::telemetry::traces::{self, Span};

static REJECTED_LOG: LogLimit = LogLimit::new();

#[derive(Clone)]
pub(super) struct WebhookState(Arc<(Webhook, Secrets)>);

impl WebhookState {
    pub(super) fn new(webhook: Webhook, secrets: Secrets) -> Self {
        Self(Arc::new((webhook, secrets)))
    }
}

pub(super) async fn receive(State(state): State<WebhookState>, request: Request) -> Response {
    // Without traces there is no id to show on log lines, and a span costs more than its request.
    let span = if traces::is_on() {
        tracing::info_span!("webhook.receive", trace_id = field::Empty)
    } else {
        tracing::Span::none()
    };
    match accept(&state, request).instrument(span).await {
        Ok(()) => received(),
        Err(rejection) => {
            state.0.0.metrics.rejected(&rejection);
            rejection.into_response()
        }
    }
}

/// The same for a first and a repeated event.
fn received() -> Response {
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (Extension(VerifiedRequest), json, r#"{"received":true}"#).into_response()
}

async fn accept(state: &WebhookState, request: Request) -> Result<(), Rejection> {
    let (webhook, secrets) = &*state.0;
    let (head, body) = request.into_parts();
    let signature = head.headers.get("stripe-signature").map(HeaderValue::as_bytes);
    // Requests without a well-formed signature must not make us buffer a body.
    let signature = signature::Header::parse(signature).map_err(|error| reject(&error, None))?;
    let settings = &webhook.settings;
    let limits = BodyLimits { max_bytes: settings.max_body_bytes, timeout: settings.read_timeout };
    let body = body::read(&head.headers, body, limits).await?;

    let now = webhook.clock.now();
    let signer = signature
        .find_secret(&body, secrets, now, settings.tolerance)
        .map_err(|error| reject(&error, Some(body.len())))?;
    // Only a verified request has a span: other clients must not fill the collector.
    Span::request("POST /webhooks/stripe")
        .text("http.request.method", "POST")
        .text("http.route", "/webhooks/stripe")
        .run(store_in_span(webhook, (body, signer), now))
        .await
}

async fn store_in_span(
    webhook: &Webhook,
    signed: (Bytes, &SecretId),
    now: DateTime<Utc>,
) -> Result<(), Rejection> {
    tracing::Span::current().record("trace_id", traces::trace_id());
    let outcome = store(webhook, signed, now).await;
    let status = outcome.as_ref().map_or_else(Rejection::status, |()| StatusCode::OK);
    traces::set_number("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        traces::fail(status.as_str());
    }
    outcome
}

async fn store(
    webhook: &Webhook,
    (body, signer): (Bytes, &SecretId),
    now: DateTime<Utc>,
) -> Result<(), Rejection> {
    match to_inbox::hand_over(&webhook.inbox, body, signer, now).await {
        Ok((stored, arrival)) => {
            traces::set_text("event.id", &arrival.event_id);
            tracing::debug!(event.id = arrival.event_id, "received an event");
            crate::crash::point("webhook.after_commit");
            webhook.metrics.accepted(&arrival, stored);
            Ok(())
        }
        Err(AcceptError::Malformed(reason)) => {
            tracing::warn!(reason, "a signed body is not an event: stored it in malformed_bodies");
            Err(Rejection::MalformedEvent)
        }
        Err(AcceptError::NotStored) => Err(Rejection::NotStored),
    }
}

/// Logs the cause as precisely as the error allows: header, secret, body or timestamp.
fn reject(error: &SignatureError, size_bytes: Option<usize>) -> Rejection {
    let rejection = Rejection::from(error);
    let skew_seconds = match error {
        SignatureError::OutsideTolerance { skew_seconds } => Some(*skew_seconds),
        SignatureError::Missing | SignatureError::Header(_) | SignatureError::NoMatch { .. } => {
            None
        }
    };
    REJECTED_LOG.write(rejection.code(), |suppressed| {
        tracing::warn!(
            log.suppressed = suppressed,
            code = rejection.code(),
            error = %error,
            body.size_bytes = size_bytes,
            clock.skew_seconds = skew_seconds,
            "rejected a webhook request"
        );
    });
    rejection
}
