//! The SQL of `reconcile_runs` and `offer_listings`. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::listing::PageCounts;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Offers that are undelivered at Stripe.
    pub offers_seen: i64,
    /// Of them, new ones.
    pub offers_new: i64,
    /// Events of Stripe's lists: undelivered ones, and those since the last complete run.
    pub events_seen: i64,
    /// Of them, new ones.
    pub events_new: i64,
    /// Of the new ones, those that their webhook should have brought by now.
    pub events_missed: i64,
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
            offers_refreshed = $8, unreadable = $9, events_missed = $10
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
        counts.events_missed,
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

/// When the oldest run on record started.
pub async fn oldest_start(db: impl PgExecutor<'_>) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select min(started_at) from reconcile_runs").fetch_one(db).await
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

/// Events that reconciliation found in runs that began at or after `since` and that their webhooks
/// should have brought, and when the last such run began. Without an earlier complete run there is
/// nothing to compare with: the first one reads what happened before the endpoint was registered.
pub async fn events_missed(
    db: impl PgExecutor<'_>,
    since: DateTime<Utc>,
) -> sqlx::Result<Option<(i64, DateTime<Utc>)>> {
    let missed = sqlx::query!(
        r#"
        select coalesce(sum(events_missed), 0)::bigint as "events!", max(started_at) as last
        from reconcile_runs
        where started_at >= $1 and events_missed > 0
            and exists (
                select from reconcile_runs as earlier
                where earlier.state = 'complete' and earlier.ended_at <= reconcile_runs.started_at
            )
        "#,
        since,
    )
    .fetch_one(db)
    .await?;
    Ok(missed.last.map(|last| (missed.events, last)))
}

/// When the last complete run started; without one, when the first run did. Ignores runs that a
/// wrong clock dated into the future.
pub(super) async fn last_complete_start(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "
        select coalesce(max(started_at) filter (where state = 'complete'), min(started_at))
        from reconcile_runs
        where started_at <= $1
        ",
        now,
    )
    .fetch_one(db)
    .await
}

/// A pass through the list of all offers at Stripe.
#[derive(Clone, Debug, serde::Serialize)]
pub struct FullListing {
    #[serde(skip)]
    pub(super) listing_id: i64,
    #[serde(skip)]
    pub(super) after_offer_id: Option<String>,
    pub started_at: DateTime<Utc>,
    pub offers_seen: i64,
    /// Of them, offers that were unknown.
    pub offers_new: i64,
    /// When the end of the list was reached.
    pub ended_at: Option<DateTime<Utc>>,
}

/// The unfinished listing, or a new one if the last one started before `before`.
pub(super) async fn due_listing(
    db: impl PgExecutor<'_>,
    livemode: Option<bool>,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<FullListing>> {
    sqlx::query_as!(
        FullListing,
        r#"
        with begun as (
            insert into offer_listings (livemode, started_at)
            select $1, $3
            where not exists (
                select from offer_listings
                where livemode is not distinct from $1
                    and (ended_at is null or started_at > $2)
            )
            on conflict do nothing
            returning listing_id, after_offer_id, started_at, offers_seen, offers_new, ended_at
        )
        select listing_id as "listing_id!", after_offer_id, started_at as "started_at!",
            offers_seen as "offers_seen!", offers_new as "offers_new!", ended_at
        from begun
        union all
        select listing_id, after_offer_id, started_at, offers_seen, offers_new, ended_at
        from offer_listings
        where livemode is not distinct from $1 and ended_at is null
        "#,
        livemode,
        before,
        now,
    )
    .fetch_optional(db)
    .await
}

/// Begins a listing unless one is unfinished.
pub async fn request_listing(
    db: impl PgExecutor<'_>,
    livemode: Option<bool>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into offer_listings (livemode, started_at) values ($1, $2) on conflict do nothing",
        livemode,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records a page that was applied; without `next` it was the last one. None if the listing is no
/// longer where it was, because another process continued it.
pub(super) async fn advance_listing(
    db: impl PgExecutor<'_>,
    listing: &FullListing,
    next: Option<String>,
    page: &PageCounts,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<FullListing>> {
    sqlx::query_as!(
        FullListing,
        "
        update offer_listings
        set after_offer_id = $3, offers_seen = offers_seen + $4, offers_new = offers_new + $5,
            ended_at = case when $3::text is null then $6::timestamptz end
        where listing_id = $1 and after_offer_id is not distinct from $2 and ended_at is null
        returning listing_id, after_offer_id, started_at, offers_seen, offers_new, ended_at
        ",
        listing.listing_id,
        listing.after_offer_id,
        next,
        page.seen,
        page.new,
        now,
    )
    .fetch_optional(db)
    .await
}

/// Restarts the listing at the top of the list.
pub(super) async fn restart_listing(
    db: impl PgExecutor<'_>,
    listing: &FullListing,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update offer_listings set after_offer_id = null
        where listing_id = $1 and ended_at is null
        ",
        listing.listing_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The listing that began last.
pub async fn newest_listing(
    db: impl PgExecutor<'_>,
    livemode: Option<bool>,
) -> sqlx::Result<Option<FullListing>> {
    sqlx::query_as!(
        FullListing,
        "
        select listing_id, after_offer_id, started_at, offers_seen, offers_new, ended_at
        from offer_listings
        where livemode is not distinct from $1
        order by listing_id desc
        limit 1
        ",
        livemode,
    )
    .fetch_optional(db)
    .await
}

/// Whether all offers at Stripe were listed at least once: until then an account may have offers
/// that are unknown here.
pub async fn has_listed_all(db: impl PgExecutor<'_>, livemode: Option<bool>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from offer_listings where livemode is not distinct from $1 and ended_at is not null
        ) as "exists!"
        "#,
        livemode,
    )
    .fetch_one(db)
    .await
}
