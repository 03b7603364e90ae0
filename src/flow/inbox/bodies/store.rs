//! SQL of the `inbox_bodies` table. The caller owns the transaction.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::received_on;
use crate::database::export_rows;

/// Creates a day's partition if it is missing. `false` if a lock was not available, or if the
/// default partition already has bodies of that day.
pub(super) async fn create_partition(
    db: impl PgExecutor<'_>,
    day: NaiveDate,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select create_inbox_bodies_partition($1) as "is_there!""#, day)
        .fetch_one(db)
        .await
}

/// Oldest first.
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

/// Drops a day's partition and moves the bodies of unread and unreadable events to the default one.
/// `false` if a lock was not available in time.
pub async fn drop_partition(db: impl PgExecutor<'_>, day: NaiveDate) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select drop_inbox_bodies_partition($1) as "is_gone!""#, day)
        .fetch_one(db)
        .await
}

/// Deletes up to `limit` bodies of processed events that were received on a day before `before`
/// from the default partition. Returns their number.
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
            -- Unreadable events wait for an operator.
            where received_on < $1 and state in ('read', 'ignored', 'wrong_mode')
            order by received_on
            limit $2
            -- An event that is being replayed keeps its body.
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

/// Deletes the bodies of all processed events about an account. Returns their number.
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
    let keys =
        BodyKeys::of(events.iter().map(|event| (event.event_id.as_str(), event.received_at)));
    let erased = sqlx::query!(
        "delete from inbox_bodies where received_on = any($1) and event_id = any($2)",
        &keys.days,
        &keys.event_ids,
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected())
}

/// By event id. Erased bodies are missing.
pub(in crate::flow::inbox) async fn find(
    db: impl PgExecutor<'_>,
    events: impl Iterator<Item = (&str, DateTime<Utc>)>,
) -> sqlx::Result<HashMap<String, Vec<u8>>> {
    let keys = BodyKeys::of(events);
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

/// Days and ids as separate parameters: Postgres then prunes to the partitions of these days, where
/// a join would open and lock every partition.
struct BodyKeys {
    days: Vec<NaiveDate>,
    event_ids: Vec<String>,
}

impl BodyKeys {
    fn of<'a>(events: impl Iterator<Item = (&'a str, DateTime<Utc>)>) -> Self {
        let (mut days, event_ids): (Vec<_>, Vec<_>) =
            events.map(|(event_id, at)| (received_on(at), event_id.to_owned())).unzip();
        days.sort_unstable();
        days.dedup();
        Self { days, event_ids }
    }
}

// By the account of the event. A body is JSON, or it would be in `malformed_bodies`.
export_rows!(
    export,
    "
    select inbox_bodies.received_on, inbox_bodies.event_id,
        convert_from(body, 'UTF8')::json as body
    from inbox_events
    join inbox_bodies on inbox_bodies.event_id = inbox_events.event_id
        and received_on = (received_at at time zone 'UTC')::date
    where account_id = any($1)
    order by arrival
    "
);
