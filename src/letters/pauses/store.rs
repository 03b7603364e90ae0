//! SQL of the `pauses` table. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Pause, Scope};
use crate::database::storable;
use crate::letters::Kind;

/// The key of the advisory lock: `pauses` in ASCII.
const LOCK: i64 = 0x7061_7573_6573;

/// Waits for the holders of [`lock_shared`] and keeps others waiting until the transaction ends.
pub(super) async fn lock(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).execute(db).await.map(drop)
}

pub(super) async fn lock_shared(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", LOCK).execute(db).await.map(drop)
}

/// Selects pauses in force by a condition.
macro_rules! select_in_force {
    ($condition:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Pause,
            "
            select pause_id, market, kind, reason, paused_by, paused_at, ended_at, ended_by,
                end_reason
            from pauses
            where ended_at is null and "
                + $condition,
            $($argument),*
        )
    };
}

/// The pauses in force, the oldest first.
pub async fn in_force(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Pause>> {
    select_in_force!("true order by pause_id").fetch_all(db).await
}

pub(super) async fn find_in_force(
    db: impl PgExecutor<'_>,
    scope: &Scope,
) -> sqlx::Result<Option<Pause>> {
    select_in_force!(
        "market is not distinct from $1 and kind is not distinct from $2",
        scope.market,
        scope.kind.map(Kind::as_str),
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn is_in_force(db: impl PgExecutor<'_>, pause_id: i64) -> sqlx::Result<bool> {
    let pause = select_in_force!("pause_id = $1", pause_id).fetch_optional(db).await?;
    Ok(pause.is_some())
}

pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    scope: &Scope,
    by: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Pause> {
    sqlx::query_as!(
        Pause,
        "
        insert into pauses (market, kind, reason, paused_by, paused_at)
        values ($1, $2, $3, $4, $5)
        returning pause_id, market, kind, reason, paused_by, paused_at, ended_at, ended_by,
            end_reason
        ",
        scope.market,
        scope.kind.map(Kind::as_str),
        storable(reason),
        storable(by),
        now,
    )
    .fetch_one(db)
    .await
}

/// Ends the pause of exactly this scope; `None` if none is in force.
pub(super) async fn end(
    db: impl PgExecutor<'_>,
    scope: &Scope,
    by: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Pause>> {
    sqlx::query_as!(
        Pause,
        "
        update pauses
        set ended_at = $5, ended_by = $4, end_reason = $3
        where ended_at is null and market is not distinct from $1 and kind is not distinct from $2
        returning pause_id, market, kind, reason, paused_by, paused_at, ended_at, ended_by,
            end_reason
        ",
        scope.market,
        scope.kind.map(Kind::as_str),
        storable(reason),
        storable(by),
        now,
    )
    .fetch_optional(db)
    .await
}
