//! The SQL of the processes.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Gives a sign of life, forgets those that are long gone, and counts those that live.
pub(super) async fn heartbeat(
    db: impl PgExecutor<'_>,
    process_id: Uuid,
    started_at: DateTime<Utc>,
    now: DateTime<Utc>,
    gone_after: TimeDelta,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        with mine as (
            insert into processes (process_id, started_at, seen_at)
            values ($1, $2, $3)
            on conflict (process_id) do update
            set seen_at = excluded.seen_at
        ),
        forgotten as (
            delete from processes
            where seen_at < $3 - interval '1 hour'
        )
        -- This statement does not see its own insert, so this process is counted apart.
        select 1 + count(*) filter (where process_id <> $1 and seen_at > $4) as "processes!"
        from processes
        "#,
        process_id,
        started_at,
        now,
        now - gone_after,
    )
    .fetch_one(db)
    .await
}

/// Whether any process gave a sign of life within this time, by the database's clock.
pub(super) async fn is_any_alive(
    db: impl PgExecutor<'_>,
    within_seconds: f64,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from processes
            where seen_at > now() - make_interval(secs => $1)
        ) as "alive!"
        "#,
        within_seconds,
    )
    .fetch_one(db)
    .await
}

/// Takes this process's row away.
pub(super) async fn leave(db: impl PgExecutor<'_>, process_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from processes where process_id = $1", process_id).execute(db).await?;
    Ok(())
}
