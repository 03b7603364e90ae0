//! The SQL of the table `replicas`.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Records a heartbeat, deletes processes that have been gone for an hour, and counts the live
/// ones.
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
        deleted as (
            delete from replicas
            where last_seen_at < $3 - interval '1 hour'
        )
        -- A statement does not see its own insert, so this process is added separately.
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

/// Whether any process sent a heartbeat within this time, by the database's clock.
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

/// Deletes the row of this process.
pub(super) async fn leave(db: impl PgExecutor<'_>, replica_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from replicas where replica_id = $1", replica_id).execute(db).await?;
    Ok(())
}
