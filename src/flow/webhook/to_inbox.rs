//! The arrow from the webhook to the inbox: a verified body becomes a stored event.
//!
//! Stripe is waiting, so this is a single insert, which the event may share with those of other
//! requests. Unlike the other arrows it commits by itself.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::signature::SecretId;
pub(super) use crate::flow::inbox::{Arrival, InboxWriter, StoreError, StoreResult};

/// Why a body was not accepted as an event.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcceptError {
    /// It is not an event. Its bytes are committed to `malformed_bodies`.
    #[error("the body is not an event: {0}")]
    Malformed(String),
    /// It was not stored, so Stripe must send it again. The database's error is reported.
    #[error("cannot store the event")]
    NotStored,
}

/// Stores the event in `body` and returns it. It is committed when this returns.
pub(super) async fn hand_over(
    inbox: &InboxWriter,
    body: Bytes,
    signer: &SecretId,
    received_at: DateTime<Utc>,
) -> Result<(StoreResult, Arrival), AcceptError> {
    let arrival = match Arrival::parse(body.clone(), received_at) {
        Ok(arrival) => Arrival { signed_with: Some(signer.as_str().to_owned()), ..arrival },
        Err(reason) => return Err(malformed(inbox, &body, reason, received_at).await),
    };
    match inbox.store(arrival).await {
        Ok(stored) => Ok(stored),
        // Stripe would resend it for days, and Postgres would reject it every time.
        Err(StoreError::Rejected(reason)) => {
            let reason = format!("rejected by Postgres: {reason}");
            Err(malformed(inbox, &body, reason, received_at).await)
        }
        Err(StoreError::QueueFull | StoreError::NotStored) => Err(AcceptError::NotStored),
    }
}

/// Stores the bytes of a body that is not an event. They are committed if this returns `Malformed`.
async fn malformed(
    inbox: &InboxWriter,
    body: &Bytes,
    reason: String,
    received_at: DateTime<Utc>,
) -> AcceptError {
    match inbox.store_malformed(body, &reason, received_at).await {
        Ok(()) => AcceptError::Malformed(reason),
        Err(_) => AcceptError::NotStored,
    }
}
