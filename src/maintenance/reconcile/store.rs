//! The SQL of the runs. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// What a run found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Offers that Stripe calls undelivered.
    pub offers_seen: i64,
    /// Of them, new to us.
    pub offers_new: i64,
    /// Events that no endpoint answered 2xx to.
    pub events_seen: i64,
    /// Of them, new to us.
    pub events_new: i64,
    /// Offers that we call undelivered and Stripe does not.
    pub offers_refreshed: i64,
    /// Entries of Stripe's lists that we could not read.
    pub unreadable: i64,
}

/// A run, as `capital-courier reconcile` tells it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Run {
    /// `running`, `complete` or `incomplete`.
    pub state: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// See [`Counts`].
    pub offers_seen: i64,
    /// See [`Counts`].
    pub offers_new: i64,
    /// See [`Counts`].
    pub events_seen: i64,
    /// See [`Counts`].
    pub events_new: i64,
    /// See [`Counts`].
    pub offers_refreshed: i64,
    /// See [`Counts`].
    pub unreadable: i64,
    /// Why it is incomplete.
    pub error: Option<String>,
}

/// Writes down that a run begins, and forgets those that nobody asks about any more.
pub(super) async fn begin(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    /// As long as Stripe keeps events.
    const KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);
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
        now - KEPT,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down how a run ended: complete, or incomplete with the reason.
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

/// The newest run, but for those that a wrong clock dated into the future.
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

/// When the last complete run ended, if ever one did. One that ends in the future was recorded by a
/// wrong clock, and says nothing.
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
