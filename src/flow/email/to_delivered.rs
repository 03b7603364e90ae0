//! The arrow from the letters to the deliveries: the relay has the letter, so Stripe is to be told, in the transaction that
//! wrote down the relay's answer.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::flow::delivered;
use crate::letters::store::Letter;

/// Owes Stripe the word about this letter's offer.
pub(super) async fn hand_over(
    tx: &mut PgConnection,
    letter: &Letter,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    delivered::owe(tx, &letter.offer_id, &letter.letter_id, now).await
}

/// Whether Stripe was told already that this offer was delivered.
pub(super) async fn is_told(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<bool> {
    Ok(delivered::store::state_of(db, offer_id).await?.as_deref() == Some("delivered"))
}
