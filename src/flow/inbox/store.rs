//! SQL of the inbox. The caller owns the transaction.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use super::{Arrival, StoreResult, bodies};
use crate::database::{Dismissed, Pool, export_rows, storable};

#[derive(Debug)]
pub struct UnreadEvent {
    /// `evt_…`
    pub event_id: String,
    pub event_type: String,
    pub livemode: Option<bool>,
    pub account_id: Option<String>,
    /// `data.object.id`.
    pub object_id: Option<String>,
    /// Stripe's creation time, or ours of receipt if there is none.
    pub happened_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    /// Empty if the body was erased.
    pub payload: Vec<u8>,
    /// Of the request that brought it.
    pub traceparent: Option<String>,
}

/// The result of reading an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Projected. The note, if any, is a warning for the operator.
    Read(Option<&'static str>),
    /// Not about Capital.
    Ignored,
    WrongMode,
    /// The form is unknown; the value is an explanation.
    Unreadable(String),
}

impl ReadOutcome {
    /// As in `inbox_events.state`.
    pub fn state(&self) -> &'static str {
        self.columns().0
    }

    /// The state and the note. The note may quote the event, so it is truncated and has no NUL.
    fn columns(&self) -> (&'static str, Option<String>) {
        const LONGEST: usize = 500;
        let plain = |why: &str| storable(why).chars().take(LONGEST).collect();
        match self {
            Self::Read(note) => ("read", note.map(str::to_owned)),
            Self::Ignored => ("ignored", None),
            Self::WrongMode => (
                "wrong_mode",
                Some("the event's livemode differs from that of stripe.api_key".to_owned()),
            ),
            Self::Unreadable(why) => ("unreadable", Some(plain(why))),
        }
    }
}

/// Stores an event with its body.
pub async fn store(db: impl PgExecutor<'_>, arrival: &Arrival) -> sqlx::Result<StoreResult> {
    let results = store_all(db, &[arrival]).await?;
    Ok(results.first().copied().unwrap_or(StoreResult::Duplicate))
}

/// Stores events with their bodies and returns a result for each, in the same order. Of events with
/// the same id the first is stored. A single statement, so that neither row of an event ever exists
/// without the other.
pub async fn store_all(
    db: impl PgExecutor<'_>,
    arrivals: &[&Arrival],
) -> sqlx::Result<Vec<StoreResult>> {
    // By id, because each row locks its entry of the primary key: in any other order, writers of
    // the same events would wait for each other.
    let mut order: Vec<usize> = (0..arrivals.len()).collect();
    order.sort_by(|a, b| arrivals[*a].event_id.cmp(&arrivals[*b].event_id));
    order.dedup_by(|later, first| arrivals[*later].event_id == arrivals[*first].event_id);
    let rows = Rows::of(order.iter().map(|at| arrivals[*at]));
    let inserted: HashSet<String> = insert(db, &rows).await?.into_iter().collect();
    let mut results = vec![StoreResult::Duplicate; arrivals.len()];
    for at in order.into_iter().filter(|at| inserted.contains(&arrivals[*at].event_id)) {
        results[at] = StoreResult::Inserted;
    }
    Ok(results)
}

/// The columns of events that are inserted together.
#[derive(Default)]
struct Rows<'a> {
    event_id: Vec<&'a str>,
    event_type: Vec<&'a str>,
    object_id: Vec<Option<&'a str>>,
    account_id: Vec<Option<&'a str>>,
    livemode: Vec<Option<bool>>,
    api_version: Vec<Option<&'a str>>,
    created_at: Vec<Option<DateTime<Utc>>>,
    received_at: Vec<DateTime<Utc>>,
    traceparent: Vec<Option<&'a str>>,
    signed_with: Vec<Option<&'a str>>,
    received_on: Vec<NaiveDate>,
    body: Vec<&'a [u8]>,
}

impl<'a> Rows<'a> {
    fn of(arrivals: impl Iterator<Item = &'a Arrival>) -> Self {
        let mut rows = Self::default();
        for arrival in arrivals {
            rows.event_id.push(&arrival.event_id);
            rows.event_type.push(&arrival.event_type);
            rows.object_id.push(arrival.object_id.as_deref());
            rows.account_id.push(arrival.account_id.as_deref());
            rows.livemode.push(arrival.livemode);
            rows.api_version.push(arrival.api_version.as_deref());
            rows.created_at.push(arrival.created_at);
            rows.received_at.push(arrival.received_at);
            rows.traceparent.push(arrival.traceparent.as_deref());
            rows.signed_with.push(arrival.signed_with.as_deref());
            rows.received_on.push(bodies::received_on(arrival.received_at));
            rows.body.push(&arrival.payload);
        }
        rows
    }
}

/// Inserts events of different ids and returns the ids that were new.
async fn insert(db: impl PgExecutor<'_>, rows: &Rows<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "
        with arrived as (
            select *
            from unnest(
                $1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::text[],
                $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::date[],
                $12::bytea[]
            ) as event (
                event_id, event_type, object_id, account_id, livemode, api_version, created_at,
                received_at, traceparent, signed_with, received_on, body
            )
        ),
        stored as (
            insert into inbox_events (
                event_id, event_type, object_id, account_id, livemode, api_version, created_at,
                received_at, traceparent, signed_with
            )
            select event_id, event_type, object_id, account_id, livemode, api_version, created_at,
                received_at, traceparent, signed_with
            from arrived
            on conflict (event_id) do nothing
            returning event_id
        )
        insert into inbox_bodies (received_on, event_id, body)
        select received_on, event_id, body
        from stored
        join arrived using (event_id)
        returning event_id
        ",
        &rows.event_id as _,
        &rows.event_type as _,
        &rows.object_id as _,
        &rows.account_id as _,
        &rows.livemode as _,
        &rows.api_version as _,
        &rows.created_at as _,
        &rows.received_at,
        &rows.traceparent as _,
        &rows.signed_with as _,
        &rows.received_on,
        &rows.body as _,
    )
    .fetch_all(db)
    .await
}

/// Stores a signed body that is not an event, for an operator to inspect. Identical bodies share
/// one row.
pub async fn store_malformed(
    db: impl PgExecutor<'_>,
    body: &[u8],
    reason: &str,
    received_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into malformed_bodies (body_sha256, body, reason, first_received_at, last_received_at)
        values ($1, $2, $3, $4, $4)
        on conflict (body_sha256) do update
        set receipts = malformed_bodies.receipts + 1, last_received_at = excluded.last_received_at
        ",
        &Sha256::digest(body)[..],
        body,
        storable(reason),
        received_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The accounts whose events a reader reads: those with this remainder of the hash of their id. An
/// event without an account is assigned by its own id.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub index: i32,
    pub of: i32,
}

impl Share {
    /// All shares of a process with so many readers.
    pub fn all(of: i32) -> impl Iterator<Item = Self> {
        (0..of).map(move |index| Self { index, of })
    }
}

/// The oldest unread events of a share with their bodies, at most `limit`. Not locked: another
/// reader may take them.
///
/// Looks no further than the oldest `limit` events per share. If they all belong to other shares,
/// the next call finds more.
pub async fn peek_unread(db: &Pool, share: Share, limit: i64) -> sqlx::Result<Vec<UnreadEvent>> {
    let rows = sqlx::query!(
        r#"
        select event_id, event_type, livemode, account_id, object_id, received_at,
            coalesce(created_at, received_at) as "happened_at!", traceparent
        from (
            select * from inbox_events where state = 'unread' order by arrival limit $1
        ) as oldest
        where (hashtext(coalesce(account_id, event_id)) & 2147483647) % $2 = $3
        order by arrival
        limit $4
        "#,
        limit.saturating_mul(i64::from(share.of)),
        share.of,
        share.index,
        limit,
    )
    .fetch_all(db)
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let events = rows.iter().map(|row| (row.event_id.as_str(), row.received_at));
    let mut bodies = bodies::store::find(db, events).await?;
    let unread = rows.into_iter().map(|row| UnreadEvent {
        payload: bodies.remove(&row.event_id).unwrap_or_default(),
        event_id: row.event_id,
        event_type: row.event_type,
        livemode: row.livemode,
        account_id: row.account_id,
        object_id: row.object_id,
        happened_at: row.happened_at,
        traceparent: row.traceparent,
        received_at: row.received_at,
    });
    Ok(unread.collect())
}

/// Keeps other readers off the share until the transaction ends. `false` if one of them has it.
pub async fn lock_share(tx: &mut PgConnection, share: Share) -> sqlx::Result<bool> {
    /// `inbox` in ASCII, above the number of the share.
    const LOCK: i64 = 0x69_6e62_6f78_0000;
    sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "is_locked!""#,
        LOCK + i64::from(share.index),
    )
    .fetch_one(tx)
    .await
}

/// Gives unread events their outcomes and returns the ids of those that it changed. Skips those
/// that another reader has locked.
pub async fn mark(
    tx: &mut PgConnection,
    outcomes: &[(&str, &ReadOutcome)],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    let ids: Vec<String> = outcomes.iter().map(|(id, _)| (*id).to_owned()).collect();
    // State and note of those that were not simply read, by id. A map and not a join: whether that
    // takes the square of the batch is up to the planner.
    let others: HashMap<&str, (&str, Option<String>)> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome != ReadOutcome::Read(None))
        .map(|(id, outcome)| (*id, outcome.columns()))
        .collect();
    let marked = sqlx::query_scalar!(
        r#"
        with locked as (
            -- By id alone: with a condition on the state, a plan could read all that is unread.
            select event_id, state
            from inbox_events
            where event_id = any($1)
            order by event_id
            for update skip locked
        )
        update inbox_events
        set state = coalesce($2::jsonb -> event_id ->> 0, 'read'),
            note = $2::jsonb -> event_id ->> 1, read_at = $3
        where event_id = any(array(select event_id from locked where state = 'unread'))
        returning event_id
        "#,
        &ids,
        Json(others) as _,
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(marked.into_iter().collect())
}

/// The number of unread events, at most `limit`, and since when the oldest one waits.
pub async fn unread(
    db: impl PgExecutor<'_>,
    limit: i64,
) -> sqlx::Result<(i64, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        r#"
        select
            (select count(*) from (
                select from inbox_events where state = 'unread' order by arrival limit $1
            ) as counted) as "unread!",
            (select received_at from inbox_events where state = 'unread' order by arrival limit 1)
                as oldest
        "#,
        limit,
    )
    .fetch_one(db)
    .await?;
    Ok((row.unread, row.oldest))
}

/// `None` if no event was ever received.
pub async fn last_received(db: impl PgExecutor<'_>) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select received_at from inbox_events order by received_at desc limit 1")
        .fetch_optional(db)
        .await
}

/// Which secrets signed the newest events, as named in `signed_with`, and when each did last. Looks
/// at a bounded number of events.
pub async fn signers(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, DateTime<Utc>)>> {
    /// Enough to see a secret in use beside a busy one, few enough to read at once.
    const EVENTS: i64 = 1000;
    let signers = sqlx::query!(
        r#"
        select signed_with as "signed_with!", max(received_at) as "last!"
        from (
            select signed_with, received_at
            from inbox_events
            order by received_at desc
            limit $1
        ) as newest
        where signed_with is not null
        group by signed_with
        "#,
        EVENTS,
    )
    .fetch_all(db)
    .await?;
    Ok(signers.into_iter().map(|row| (row.signed_with, row.last)).collect())
}

/// An event as the API and the command line show it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EventSummary {
    /// `evt_…`
    pub event_id: String,
    pub event_type: String,
    /// `unread`, `read`, `ignored`, `wrong_mode` or `unreadable`.
    pub state: String,
    pub note: Option<String>,
    /// `data.object.id`.
    pub object_id: Option<String>,
    pub account_id: Option<String>,
    pub received_at: DateTime<Utc>,
}

/// Newest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    state: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<EventSummary>> {
    sqlx::query_as!(
        EventSummary,
        "
        select event_id, event_type, state, note, object_id, account_id, received_at
        from inbox_events
        where $1::text is null or state = $1
        order by received_at desc, event_id desc
        limit $2
        ",
        state,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn find_summary(
    db: impl PgExecutor<'_>,
    event_id: &str,
) -> sqlx::Result<Option<EventSummary>> {
    sqlx::query_as!(
        EventSummary,
        "
        select event_id, event_type, state, note, object_id, account_id, received_at
        from inbox_events
        where event_id = $1
        ",
        event_id,
    )
    .fetch_optional(db)
    .await
}

/// With the original bytes, which are empty if they were erased.
pub async fn find(
    db: impl PgExecutor<'_> + Copy,
    event_id: &str,
) -> sqlx::Result<Option<(EventSummary, Vec<u8>)>> {
    let Some(shown) = find_summary(db, event_id).await? else { return Ok(None) };
    let mut bodies =
        bodies::store::find(db, std::iter::once((event_id, shown.received_at))).await?;
    let body = bodies.remove(event_id).unwrap_or_default();
    Ok(Some((shown, body)))
}

/// The newest events in a state, before `before` if given: at most `limit`, with their times.
pub async fn ids_in_state(
    db: impl PgExecutor<'_>,
    state: &str,
    before: Option<&(DateTime<Utc>, String)>,
    limit: i64,
) -> sqlx::Result<Vec<(DateTime<Utc>, String)>> {
    let rows = sqlx::query!(
        "
        select received_at, event_id
        from inbox_events
        where state = $1 and ($2::timestamptz is null or (received_at, event_id) < ($2, $3))
        order by received_at desc, event_id desc
        limit $4
        ",
        state,
        before.map(|(received_at, _)| *received_at),
        before.map(|(_, event_id)| event_id.as_str()),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.received_at, row.event_id)).collect())
}

/// Marks an event unread, so that it is read again; projections are idempotent. `false` if there is
/// no such event, it is still unread, or its body was erased.
pub async fn replay(db: impl PgExecutor<'_>, event_id: &str) -> sqlx::Result<bool> {
    let replayed = sqlx::query!(
        "
        update inbox_events
        set state = 'unread', note = null, read_at = null
        where event_id = $1 and state <> 'unread'
            -- Reading the body locks its partition against being dropped before the commit.
            and exists (
                select from inbox_bodies
                where inbox_bodies.event_id = $1
                    and received_on = (received_at at time zone 'UTC')::date
            )
        ",
        event_id,
    )
    .execute(db)
    .await?;
    Ok(replayed.rows_affected() == 1)
}

/// Whether the account has an event, with or without its body.
pub async fn knows_account(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from inbox_events where account_id = $1) as "exists!""#,
        account_id,
    )
    .fetch_one(db)
    .await
}

// By account.
export_rows!(export, "select * from inbox_events where account_id = any($1) order by arrival");

/// What could not be read: an event of an unknown form, or a body that is no event.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The event's, or the first digits of the body's hash.
    pub id: String,
    pub account_id: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// When it was received last.
    pub received_at: DateTime<Utc>,
    /// How many there are.
    pub total: i64,
}

/// The oldest events that this version cannot read.
pub async fn list_unreadable(
    db: impl PgExecutor<'_>,
    dismissed: &Dismissed,
    limit: i64,
) -> sqlx::Result<Vec<Unreadable>> {
    sqlx::query_as!(
        Unreadable,
        r#"
        select event_id as id, account_id, note, received_at, count(*) over () as "total!"
        from inbox_events
        where state = 'unreadable' and not exists (
            select from unnest($1::text[], $2::timestamptz[]) as dismissed (id, at)
            where dismissed.id = event_id and dismissed.at >= received_at
        )
        order by received_at, event_id
        limit $3
        "#,
        &dismissed.ids,
        &dismissed.at,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The oldest bodies with a valid signature that are no events.
pub async fn list_malformed(
    db: impl PgExecutor<'_>,
    dismissed: &Dismissed,
    limit: i64,
) -> sqlx::Result<Vec<Unreadable>> {
    sqlx::query_as!(
        Unreadable,
        r#"
        select id as "id!", null as "account_id?: String", reason as note,
            last_received_at as received_at, count(*) over () as "total!"
        from (
            select left(encode(body_sha256, 'hex'), 16) as id, reason, last_received_at
            from malformed_bodies
        ) as bodies
        where not exists (
            select from unnest($1::text[], $2::timestamptz[]) as dismissed (id, at)
            where dismissed.id = bodies.id and dismissed.at >= last_received_at
        )
        order by last_received_at, id
        limit $3
        "#,
        &dismissed.ids,
        &dismissed.at,
        limit,
    )
    .fetch_all(db)
    .await
}
