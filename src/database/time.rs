//! The database's clock, which is everybody's: see [`crate::clock`].

use std::time::Instant;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::Pool;
use crate::clock::Measured;

/// The present by the database's clock, for a command that does one thing.
pub async fn now(db: impl PgExecutor<'_>) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(db).await
}

/// Asks for the time, and measures how long the answer takes. The wait for a free connection is no
/// part of that.
pub async fn measure_clock(db: &Pool) -> sqlx::Result<Measured> {
    let mut tx = db.begin().await?;
    let asked = Instant::now();
    let time = now(&mut *tx).await?;
    let answered_at = Instant::now();
    tx.commit().await?;
    Ok(Measured { time, answered_at, round_trip: answered_at - asked })
}
