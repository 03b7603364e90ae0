//! Reads the database's clock, which all processes share: see [`crate::clock`].

use std::time::Instant;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::Pool;
use crate::clock::Measured;

/// The present by the database's clock, for commands that need no running [`crate::clock::Clock`].
pub async fn now(db: impl PgExecutor<'_>) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(db).await
}

/// Reads the time and measures the round trip, without the wait for a free connection.
pub async fn measure_clock(db: &Pool) -> sqlx::Result<Measured> {
    let mut tx = db.begin().await?;
    let asked = Instant::now();
    let time = now(&mut *tx).await?;
    let answered_at = Instant::now();
    tx.commit().await?;
    Ok(Measured { time, answered_at, round_trip: answered_at - asked })
}
