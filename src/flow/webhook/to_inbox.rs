//! The arrow from the webhook to the inbox: a body that was proven to be Stripe's becomes an event that is kept.
//!
//! One insert and nothing else: Stripe waits for it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::database::within;
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
    db: &PgPool,
    body: Bytes,
    received_at: DateTime<Utc>,
) -> Result<Accepted, NotKept> {
    let arrival = match Arrival::parse(body.clone(), received_at) {
        Ok(arrival) => arrival,
        Err(reason) => {
            within(store::keep_malformed(db, &body, &reason, received_at)).await?;
            return Err(NotKept::Malformed(reason));
        }
    };
    crate::crash::point("webhook.before_commit");
    let kept = within(store::keep(db, &arrival)).await?;
    let event_id = arrival.event_id;
    Ok(match kept {
        Kept::First => Accepted::First { event_id },
        Kept::Again => Accepted::Again { event_id },
    })
}
