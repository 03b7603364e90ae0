//! The arrow from the webhook to the inbox: a body that was proven to be Stripe's becomes an event that is kept.
//!
//! One insert and nothing else: Stripe waits for it.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::database::{Pool, is_about_the_data, with_timeout};
use crate::flow::inbox::{Arrival, Kept, store};

/// What became of a body.
#[derive(Debug)]
pub(super) enum Accepted {
    /// Kept now.
    First {
        /// The event's id.
        event_id: String,
    },
    /// Kept before; nothing changed.
    Again {
        /// The event's id.
        event_id: String,
    },
}

/// Why a body was not taken as an event.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotKept {
    /// It is no event. Its bytes are kept for a person to see.
    #[error("the body is no event: {0}")]
    Malformed(String),
    /// It could not be written down, so Stripe must not hear that it was.
    #[error("cannot keep the event")]
    Database(#[from] sqlx::Error),
}

/// Keeps the event in `body`. When this returns, it is committed.
pub(super) async fn hand_over(
    db: &Pool,
    body: Bytes,
    received_at: DateTime<Utc>,
) -> Result<Accepted, NotKept> {
    let arrival = match Arrival::parse(body.clone(), received_at) {
        Ok(arrival) => arrival,
        Err(reason) => return Err(malformed(db, &body, reason, received_at).await),
    };
    crate::crash::point("webhook.before_commit");
    match with_timeout(store::keep(db, &arrival)).await {
        Ok(Kept::Inserted) => Ok(Accepted::First { event_id: arrival.event_id }),
        Ok(Kept::Duplicate) => Ok(Accepted::Again { event_id: arrival.event_id }),
        // Stripe would send it for days, and it would be refused each time.
        Err(error) if is_about_the_data(&error) => {
            Err(malformed(db, &body, format!("Postgres refuses it: {error}"), received_at).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps the bytes of a body that is no event. When this says that it is malformed, they are
/// committed.
async fn malformed(db: &Pool, body: &Bytes, reason: String, received_at: DateTime<Utc>) -> NotKept {
    match with_timeout(store::keep_malformed(db, body, &reason, received_at)).await {
        Ok(()) => NotKept::Malformed(reason),
        Err(error) => error.into(),
    }
}
