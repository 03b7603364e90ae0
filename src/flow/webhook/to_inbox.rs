//! The arrow from the webhook to the inbox: a verified body becomes a stored event.
//!
//! A single insert, because Stripe is waiting. Unlike the other arrows it commits by itself.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::signature::SecretId;
use crate::database::{Pool, is_about_the_data, with_timeout};
use crate::flow::inbox::store;
pub(super) use crate::flow::inbox::{Arrival, StoreResult};

/// Why a body was not accepted as an event.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcceptError {
    /// It is not an event. Its bytes are committed to `malformed_bodies`.
    #[error("the body is not an event: {0}")]
    Malformed(String),
    /// It was not stored, so Stripe must send it again.
    #[error("cannot store the event")]
    Database(#[from] sqlx::Error),
}

/// Stores the event in `body` and returns it. It is committed when this returns.
pub(super) async fn hand_over(
    db: &Pool,
    body: Bytes,
    signer: &SecretId,
    received_at: DateTime<Utc>,
) -> Result<(StoreResult, Arrival), AcceptError> {
    let arrival = match Arrival::parse(body.clone(), received_at) {
        Ok(arrival) => Arrival { signed_with: Some(signer.as_str().to_owned()), ..arrival },
        Err(reason) => return Err(malformed(db, &body, reason, received_at).await),
    };
    crate::crash::point("webhook.before_commit");
    match with_timeout(store::store(db, &arrival)).await {
        Ok(stored) => Ok((stored, arrival)),
        // Stripe would resend it for days, and Postgres would reject it every time.
        Err(error) if is_about_the_data(&error) => {
            Err(malformed(db, &body, format!("rejected by Postgres: {error}"), received_at).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// Stores the bytes of a body that is not an event. They are committed if this returns `Malformed`.
async fn malformed(
    db: &Pool,
    body: &Bytes,
    reason: String,
    received_at: DateTime<Utc>,
) -> AcceptError {
    match with_timeout(store::store_malformed(db, body, &reason, received_at)).await {
        Ok(()) => AcceptError::Malformed(reason),
        Err(error) => error.into(),
    }
}
