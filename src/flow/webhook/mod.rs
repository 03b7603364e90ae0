//! Taking events from Stripe.
//!
//! ```text
//! request ─▶ signature's form ─▶ bytes, within size, time, memory ─▶ signature ─▶ one insert, committed ─▶ 200
//!                  400                    413, 408, 503                 400            503
//! ```
//!
//! The body stays raw until its signature is proven: a body that was parsed and written again has other bytes, and no longer
//! the signature (the most asked question about Stripe's webhooks). Stripe gets its 2xx when the event is committed and not
//! before; a repeated event gets the same.

mod receive;
mod refusal;
mod signature;
mod to_inbox;

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use secrecy::SecretString;

use crate::clock::Clock;
use crate::database::{DatabaseHealth, Pool};
use crate::queue::Notifier;

pub use signature::{NoSecret, Secrets, SignatureError, verify};

/// What taking events needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `whsec_…`, one for each endpoint, and two while one is being rolled.
    pub secrets: Vec<SecretString>,
    /// How far the time in the signature may be from ours, in both directions.
    pub tolerance: Duration,
    /// The largest body that is read.
    pub max_body_bytes: usize,
    /// From the end of the headers to the end of the body.
    pub read_timeout: Duration,
}

/// Where events come in.
#[derive(Debug)]
pub struct Webhook {
    /// Where they are kept.
    pub db: Pool,
    /// Our time, to hold against the signature's.
    pub clock: Clock,
    /// Rung when there is something to read.
    pub inbox: Notifier,
    /// Observation of a database that would not keep an event.
    pub database_health: DatabaseHealth,
    /// Sizes and times.
    pub settings: Settings,
}

/// The route `POST /webhooks/stripe`. Fails where there is no secret to verify with.
pub fn router(webhook: Webhook) -> Result<Router, NoSecret> {
    let secrets = Secrets::new(&webhook.settings.secrets)?;
    let state = receive::State::new(webhook, secrets);
    Ok(Router::new().route("/webhooks/stripe", post(receive::receive)).with_state(state))
}
