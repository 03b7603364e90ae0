//! The SQL of the processes.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Gives a sign of life, forgets those that are long gone, and counts those that live.
pub(super) async fn heartbeat(
    db: impl PgExecutor<'_>,
    replica_id: Uuid,
    started_at: DateTime<Utc>,
    now: DateTime<Utc>,
    gone_after: TimeDelta,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        with mine as (
            insert into replicas (replica_id, started_at, last_seen_at)
            values ($1, $2, $3)
            on conflict (replica_id) do update
            set last_seen_at = excluded.last_seen_at
        ),
        forgotten as (
            delete from replicas
            where last_seen_at < $3 - interval '1 hour'
        )
        -- This statement does not see its own insert, so this process is counted apart.
        select 1 + count(*) filter (where replica_id <> $1 and last_seen_at > $4) as "replicas!"
        from replicas
        "#,
        replica_id,
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
            select from replicas
            where last_seen_at > now() - make_interval(secs => $1)
        ) as "alive!"
        "#,
        within_seconds,
    )
    .fetch_one(db)
    .await
}

/// Takes this process's row away.
pub(super) async fn leave(db: impl PgExecutor<'_>, replica_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from replicas where replica_id = $1", replica_id).execute(db).await?;
    Ok(())
}
