//! Receives events from Stripe.
//!
//! ```text
//! request ─▶ header ─▶ body within size, time, memory ─▶ signature ─▶ insert, commit ─▶ 200
//!              400              413, 408, 503                400             503
//! ```
//!
//! The body stays raw until its signature is verified: parsing and serializing it again would
//! change its bytes, the most common mistake with Stripe's webhooks. Stripe receives 2xx only after
//! the event is committed. A duplicate event receives the same.

mod metrics;
mod receive;
mod rejection;
mod signature;
mod to_inbox;

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use secrecy::SecretString;

use crate::clock::Clock;

pub use metrics::WebhookMetrics;
pub use signature::{NoSecret, SecretId, Secrets, SignatureError, verify};
use to_inbox::InboxWriter;

#[derive(Clone, Debug)]
pub struct Settings {
    /// `whsec_…`, one per endpoint, and two while one is being rolled.
    pub secrets: Vec<SecretString>,
    /// Maximum difference between the signature's timestamp and our clock, in either direction.
    pub tolerance: Duration,
    pub max_body_bytes: usize,
    /// From the end of the headers to the end of the body.
    pub read_timeout: Duration,
}

#[derive(Debug)]
pub struct Webhook {
    pub clock: Clock,
    pub inbox: InboxWriter,
    pub metrics: WebhookMetrics,
    pub settings: Settings,
}

/// Serves `POST /webhooks/stripe`. Fails if no usable secret is configured.
pub fn router(webhook: Webhook) -> Result<Router, NoSecret> {
    let secrets = Secrets::new(&webhook.settings.secrets)?;
    let state = receive::WebhookState::new(webhook, secrets);
    Ok(Router::new().route("/webhooks/stripe", post(receive::receive)).with_state(state))
}
