//! One request: read it, prove it, keep it, answer.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::{Extension, Json};

use super::refusal::Refusal;
use super::signature::check_form;
use super::to_inbox::{self, Accepted, NotKept};
use super::{Secrets, SignatureError, Webhook, verify};
use crate::http::VerifiedRequest;
use crate::http::body::{self, BodyLimits};
use crate::telemetry::LogLimit;

static REFUSED: LogLimit = LogLimit::new();

/// What each request needs.
#[derive(Clone)]
pub(super) struct State(Arc<(Webhook, Secrets)>);

impl State {
    pub(super) fn new(webhook: Webhook, secrets: Secrets) -> Self {
        Self(Arc::new((webhook, secrets)))
    }
}

/// Takes one event. The body stays raw until the signature is proven.
#[tracing::instrument(name = "webhook.receive", skip_all, fields(event.id))]
pub(super) async fn receive(
    Shared(state): Shared<State>,
    request: Request,
) -> Result<(Extension<VerifiedRequest>, Json<serde_json::Value>), Refusal> {
    let (webhook, secrets) = &*state.0;
    let (head, body) = request.into_parts();
    let signature = head.headers.get("stripe-signature").map(axum::http::HeaderValue::as_bytes);
    // Without a signature that can be checked, the body need not be read, and takes no memory.
    check_form(signature).map_err(|error| refuse(&error, None))?;
    let settings = &webhook.settings;
    let limits = BodyLimits { max_bytes: settings.max_body_bytes, timeout: settings.read_timeout };
    let body = body::read(&head.headers, body, limits).await?;

    let now = webhook.clock.now();
    if let Err(error) = verify(signature, &body, secrets, now, webhook.settings.tolerance) {
        return Err(refuse(&error, Some(body.len())));
    }
    match to_inbox::hand_over(&webhook.db, body, now).await {
        Ok(accepted) => {
            crate::crash::point("webhook.after_commit");
            welcome(&accepted, webhook);
            Ok((Extension(VerifiedRequest), Json(serde_json::json!({"received": true}))))
        }
        Err(NotKept::Malformed(reason)) => {
            tracing::warn!(
                reason,
                "body with a good signature is no event: its bytes are in malformed_bodies"
            );
            Err(Refusal::MalformedEvent)
        }
        Err(NotKept::Database(error)) => {
            webhook
                .database_health
                .report(&error, "cannot keep an event: Stripe was told to send it again");
            Err(Refusal::NotKept)
        }
    }
}

/// Says in the log which of header, secret, body and time was wrong, as far as can be known.
fn refuse(error: &SignatureError, size_bytes: Option<usize>) -> Refusal {
    let refusal = Refusal::from(error);
    let skew_seconds = match error {
        SignatureError::OutsideTolerance { skew_seconds } => Some(*skew_seconds),
        SignatureError::Missing | SignatureError::Header(_) | SignatureError::NoMatch { .. } => {
            None
        }
    };
    REFUSED.write(refusal.code(), |suppressed| {
        tracing::warn!(log.suppressed = suppressed, code = refusal.code(), error = %error, body.size_bytes = size_bytes,
            clock.skew_seconds = skew_seconds, "refused a webhook");
    });
    refusal
}

fn welcome(accepted: &Accepted, webhook: &Webhook) {
    match accepted {
        Accepted::First { event_id } => {
            tracing::info!(event.id = event_id, "kept event");
            webhook.inbox.notify();
        }
        Accepted::Again { event_id } => tracing::info!(event.id = event_id, "event came again"),
    }
}
