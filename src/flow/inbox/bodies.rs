//! The bodies of events, apart from the events and in one partition per day (docs/decisions/0037).
//! Creates partitions ahead, and drops those that are older than personal data may be.
//!
//! A day without a partition is no fault: its bodies go to the default partition, where they are
//! erased row by row.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::{PgConnection, PgExecutor};

/// The retention job creates partitions once an hour: this outlasts a weekend without it.
const DAYS_AHEAD: u64 = 3;

/// Creates the partitions of today and of the next days. Those that exist stay; one that cannot be
/// created just now is tried again by the next call.
pub async fn create_partitions(
    db: impl PgExecutor<'_> + Copy,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let today = received_on(now);
    for day in (0..=DAYS_AHEAD).filter_map(|ahead| today.checked_add_days(Days::new(ahead))) {
        // A transaction each: attaching a partition locks the default one until it commits.
        let is_there =
            sqlx::query_scalar!(r#"select create_inbox_bodies_partition($1) as "is_there!""#, day)
                .fetch_one(db)
                .await?;
        if !is_there {
            tracing::debug!(%day, "created no partition: bodies of that day go to the default one");
        }
    }
    Ok(())
}

/// The days before `before` that have a partition, the oldest first.
pub async fn partitions_before(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
) -> sqlx::Result<Vec<NaiveDate>> {
    sqlx::query_scalar!(
        r#"
        select day as "day!"
        from (
            select to_date(right(relname::text, 8), 'YYYYMMDD') as day
            from pg_inherits
            join pg_class on pg_class.oid = inhrelid
            where inhparent = 'inbox_bodies'::regclass and relname ~ '^inbox_bodies_\d{8}$'
        ) as partitions
        where day < $1
        order by day
        "#,
        received_on(before),
    )
    .fetch_all(db)
    .await
}

/// Drops a day's partition; bodies of events that are unread or unreadable move to the default one.
/// False if others held locks on it for too long.
pub async fn drop_partition(db: impl PgExecutor<'_>, day: NaiveDate) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select drop_inbox_bodies_partition($1) as "is_gone!""#, day)
        .fetch_one(db)
        .await
}

/// Deletes up to `limit` bodies from the default partition: of events that were read and received on
/// a day before `before`. Returns their number.
pub async fn erase_from_default(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let erased = sqlx::query!(
        "
        delete from inbox_bodies_default
        where (received_on, event_id) in (
            select received_on, event_id
            from inbox_bodies_default
            join inbox_events using (event_id)
            -- An unreadable event waits for an operator.
            where received_on < $1 and state in ('read', 'ignored', 'wrong_mode')
            order by received_on
            limit $2
            -- One that is being replayed keeps its body.
            for update of inbox_events skip locked
        )
        ",
        received_on(before),
        limit,
    )
    .execute(db)
    .await?;
    Ok(erased.rows_affected())
}

/// Deletes the bodies of all events about an account that were read. Returns their number.
pub async fn erase_account(tx: &mut PgConnection, account_id: &str) -> sqlx::Result<u64> {
    let events = sqlx::query!(
        "
        select event_id, received_at
        from inbox_events
        where account_id = $1 and state <> 'unread'
        for update
        ",
        account_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    let keys = Keys::of(events.iter().map(|event| (event.event_id.as_str(), event.received_at)));
    let erased = sqlx::query!(
        "delete from inbox_bodies where received_on = any($1) and event_id = any($2)",
        &keys.days,
        &keys.event_ids,
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected())
}

/// The bodies of events, by event id. One that was erased is missing.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    events: impl Iterator<Item = (&str, DateTime<Utc>)>,
) -> sqlx::Result<HashMap<String, Vec<u8>>> {
    let keys = Keys::of(events);
    let rows = sqlx::query!(
        "
        select event_id, body
        from inbox_bodies
        where received_on = any($1) and event_id = any($2)
        ",
        &keys.days,
        &keys.event_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.event_id, row.body)).collect())
}

/// The partition that an event's body belongs to.
pub(super) fn received_on(received_at: DateTime<Utc>) -> NaiveDate {
    received_at.date_naive()
}

/// Days and ids apart, as parameters: Postgres then plans with the partitions of these days alone,
/// where a join would open and lock every partition there is.
struct Keys {
    days: Vec<NaiveDate>,
    event_ids: Vec<String>,
}

impl Keys {
    fn of<'a>(events: impl Iterator<Item = (&'a str, DateTime<Utc>)>) -> Self {
        let (mut days, event_ids): (Vec<_>, Vec<_>) =
            events.map(|(event_id, at)| (received_on(at), event_id.to_owned())).unzip();
        days.sort_unstable();
        days.dedup();
        Self { days, event_ids }
    }
}
