//! Telling Stripe that the merchant was shown the offer (<https://docs.stripe.com/capital/api-integration>): an affirmation, so never
//! before the relay has the letter.
//!
//! ```text
//! owed ─▶ delivered     Stripe acknowledged, or shows the offer as delivered or further along
//!    └──▶ refused       Stripe will not, and the offer is not delivered: a person must look
//! ```

mod mark;
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::queue;

pub use mark::MarkDelivered;

/// The kind of the jobs that tell Stripe.
pub(crate) const JOB: &str = "mark_delivered";

/// Owes Stripe the word about an offer and queues the telling, in the caller's transaction. Does nothing where it is owed
/// already.
pub async fn owe(
    tx: &mut PgConnection,
    offer_id: &str,
    letter_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    store::owe(&mut *tx, offer_id, letter_id, now).await?;
    queue::enqueue(tx, JOB, offer_id, now).await?;
    Ok(())
}

/// Stripe lists an offer as undelivered that it acknowledged before `before`: owes the word again, under a new Idempotency-Key.
/// The letter was sent all the same.
pub async fn owe_again(
    tx: &mut PgConnection,
    offer_id: &str,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if store::reopen(&mut *tx, offer_id, before).await? {
        tracing::warn!(
            offer.id = offer_id,
            "Stripe forgot that the offer was delivered: telling it again"
        );
        queue::requeue(tx, JOB, offer_id, now).await?;
    }
    Ok(())
}

/// Stripe lists an offer as undelivered although its letter was sent, and the job that was to mark it was given up: queues it
/// again, in the caller's transaction, at most once an hour.
pub async fn retry_given_up(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if queue::requeue_dead(&mut *tx, JOB, offer_id, now).await? {
        store::owe_anew(&mut *tx, offer_id).await?;
        tracing::warn!(
            offer.id = offer_id,
            "reconciliation marks an offer again that was given up"
        );
    }
    Ok(())
}

/// Tries again to tell Stripe what it refused, in the caller's transaction. False where nothing was refused.
pub async fn retry(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let retried = store::owe_anew(&mut *tx, offer_id).await?;
    if retried {
        queue::requeue(tx, JOB, offer_id, now).await?;
    }
    Ok(retried)
}
