//! The SQL of `reconcile_runs`. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Offers that are undelivered at Stripe.
    pub offers_seen: i64,
    /// Of them, new ones.
    pub offers_new: i64,
    /// Events without a 2xx response of an endpoint.
    pub events_seen: i64,
    /// Of them, new ones.
    pub events_new: i64,
    /// Offers that are undelivered only here.
    pub offers_refreshed: i64,
    /// Unreadable entries of Stripe's lists.
    pub unreadable: i64,
}

/// A run as `capital-courier reconcile` prints it. For the counts see [`Counts`].
#[derive(Clone, Debug, serde::Serialize)]
pub struct Run {
    /// `running`, `complete` or `incomplete`.
    pub state: String,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub offers_seen: i64,
    pub offers_new: i64,
    pub events_seen: i64,
    pub events_new: i64,
    pub offers_refreshed: i64,
    pub unreadable: i64,
    pub error: Option<String>,
}

/// Records the start of a run and deletes old runs.
pub(super) async fn begin(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    /// As long as Stripe keeps events.
    const RETENTION: chrono::TimeDelta = chrono::TimeDelta::days(30);
    sqlx::query!(
        "
        with forgotten as (
            delete from reconcile_runs
            where started_at < $3
        )
        insert into reconcile_runs (run_id, started_at)
        values ($1, $2)
        ",
        run_id,
        now,
        now - RETENTION,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records the end of a run: complete, or incomplete because of `error`.
pub(super) async fn end(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    counts: &Counts,
    error: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update reconcile_runs
        set state = case when $2::text is null then 'complete' else 'incomplete' end, error = $2,
            ended_at = $3,
            offers_seen = $4, offers_new = $5, events_seen = $6, events_new = $7,
            offers_refreshed = $8, unreadable = $9
        where run_id = $1
        ",
        run_id,
        error,
        now,
        counts.offers_seen,
        counts.offers_new,
        counts.events_seen,
        counts.events_new,
        counts.offers_refreshed,
        counts.unreadable,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The newest run. Ignores runs that a wrong clock dated into the future.
pub async fn newest(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<Option<Run>> {
    sqlx::query_as!(
        Run,
        "
        select state, started_at, ended_at, offers_seen, offers_new, events_seen, events_new,
            offers_refreshed, unreadable, error
        from reconcile_runs
        where started_at <= $1
        order by started_at desc
        limit 1
        ",
        now,
    )
    .fetch_optional(db)
    .await
}

/// When the last complete run ended. Ignores runs that a wrong clock dated into the future.
pub async fn last_complete(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "select max(ended_at) from reconcile_runs where state = 'complete' and ended_at <= $1",
        now,
    )
    .fetch_one(db)
    .await
}
