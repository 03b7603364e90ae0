//! The SQL of the limits. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// Locks the relay's row, and says when its next letter may be begun.
pub async fn hold(
    tx: &mut PgConnection,
    relay: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query!(
        "insert into relays (relay, next_send_at) values ($1, $2) on conflict (relay) do nothing",
        relay,
        now,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query_scalar!("select next_send_at from relays where relay = $1 for update", relay)
        .fetch_one(tx)
        .await
}

/// Books the time up to this moment.
pub async fn book(
    db: impl PgExecutor<'_>,
    relay: &str,
    next_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!("update relays set next_send_at = $2 where relay = $1", relay, next_at)
        .execute(db)
        .await?;
    Ok(())
}
