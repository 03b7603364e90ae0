//! Queues, restarts and ends many jobs with one statement each. Every set is locked in one order, of
//! the keys or, for claims, of the ids, so that concurrent transactions cannot deadlock.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Claim;
use super::store::CHANNEL;
use crate::telemetry::traces;

/// A job to be queued.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    pub kind: &'a str,
    pub subject: &'a str,
    /// As in [`super::enqueue_low_priority`].
    pub low_priority: bool,
    pub due_at: DateTime<Utc>,
    /// The trace that it continues.
    pub traceparent: Option<String>,
}

impl<'a> NewJob<'a> {
    /// A job of normal priority that is due now and continues the current trace.
    pub fn new(kind: &'a str, subject: &'a str, now: DateTime<Utc>) -> Self {
        let traceparent = traces::traceparent();
        Self { kind, subject, low_priority: false, due_at: now, traceparent }
    }

    /// Unique among all jobs.
    pub fn key(&self) -> String {
        key(self.kind, self.subject)
    }
}

fn key(kind: &str, subject: &str) -> String {
    format!("{kind}:{subject}")
}

/// Queues the jobs, in the transaction that makes them necessary. Returns the keys of those that
/// did not exist; the others are unchanged.
pub async fn enqueue_all(
    tx: &mut PgConnection,
    jobs: &[NewJob<'_>],
) -> sqlx::Result<HashSet<String>> {
    add_all(tx, jobs, true).await
}

/// As [`enqueue_all`], without `NOTIFY`: for a worker whose own process runs these kinds and is
/// notified in memory after the commit. A `NOTIFY` for each transaction would wake the workers of
/// every replica, and Postgres commits transactions with one after the other.
pub async fn enqueue_all_here(
    tx: &mut PgConnection,
    jobs: &[NewJob<'_>],
) -> sqlx::Result<HashSet<String>> {
    add_all(tx, jobs, false).await
}

async fn add_all(
    tx: &mut PgConnection,
    jobs: &[NewJob<'_>],
    notifies: bool,
) -> sqlx::Result<HashSet<String>> {
    if jobs.is_empty() {
        return Ok(HashSet::new());
    }
    let kinds: Vec<String> = jobs.iter().map(|job| job.kind.to_owned()).collect();
    let subjects: Vec<String> = jobs.iter().map(|job| job.subject.to_owned()).collect();
    let low: Vec<bool> = jobs.iter().map(|job| job.low_priority).collect();
    let due: Vec<DateTime<Utc>> = jobs.iter().map(|job| job.due_at).collect();
    let traces: Vec<Option<String>> = jobs.iter().map(|job| job.traceparent.clone()).collect();
    let rows = sqlx::query!(
        r#"
        with added as (
            insert into jobs (kind, key, subject, low_priority, due_at, queued_at, traceparent)
            select kind, kind || ':' || subject, subject, low_priority, due_at, due_at, traceparent
            from unnest($1::text[], $2::text[], $3::boolean[], $4::timestamptz[], $5::text[])
                as new (kind, subject, low_priority, due_at, traceparent)
            order by kind, subject
            on conflict (key) do nothing
            returning key, kind
        )
        -- Sent at commit, once for all jobs of a kind.
        select key, case when $7 then pg_notify($6, kind) end as "notified" from added
        "#,
        &kinds,
        &subjects,
        &low,
        &due,
        &traces as &[Option<String>],
        CHANNEL,
        notifies,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}

/// As [`super::renew`] for many claims. Returns for each, in their order, whether it holds: nothing
/// may be written for the others.
pub async fn renew_all(
    tx: &mut PgConnection,
    claims: &[&Claim],
    lease: Duration,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<bool>> {
    update_held(tx, claims, "claimed", Some(now + lease), None).await
}

/// As [`super::finish`] for many attempts whose work is done. Returns for each claim, in their order,
/// whether it held: nothing may be written for the others. After the commit the attempts call
/// [`Claim::set_done`].
pub async fn finish_all(
    tx: &mut PgConnection,
    claims: &[&Claim],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<bool>> {
    update_held(tx, claims, "done", None, Some(now)).await
}

/// Those of the operations whose claim held, given what [`finish_all`] said of their claims.
pub fn held_among<'a, T>(operations: &[&'a T], held: &[bool]) -> Vec<&'a T> {
    operations
        .iter()
        .zip(held)
        .filter(|(_, held)| **held)
        .map(|(operation, _)| *operation)
        .collect()
}

/// Only a claimed job has a token.
async fn update_held(
    tx: &mut PgConnection,
    claims: &[&Claim],
    state: &str,
    leased_until: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
) -> sqlx::Result<Vec<bool>> {
    let (jobs, tokens): (Vec<i64>, Vec<Uuid>) =
        claims.iter().map(|claim| (claim.job_id, claim.token)).unzip();
    let held = sqlx::query!(
        r#"
        with held as (
            select jobs.job_id, jobs.lease_token as token
            from unnest($1::bigint[], $2::uuid[]) as claim (job_id, token)
            join jobs on jobs.job_id = claim.job_id and jobs.lease_token = claim.token
            order by jobs.job_id
            for update of jobs
        )
        update jobs
        set state = $3, leased_until = $4, finished_at = $5,
            lease_token = case when $3 = 'claimed' then lease_token end
        from held
        where jobs.job_id = held.job_id
        returning jobs.job_id, held.token as "token!"
        "#,
        &jobs,
        &tokens,
        state,
        leased_until,
        finished_at,
    )
    .fetch_all(tx)
    .await?;
    let held: HashSet<(i64, Uuid)> = held.into_iter().map(|row| (row.job_id, row.token)).collect();
    Ok(claims.iter().map(|claim| held.contains(&(claim.job_id, claim.token))).collect())
}

/// Locks jobs until the transaction ends, before the statements that change them. Returns the keys
/// of those that exist: one that was done may have left since it was found ([`super::delete_done`]).
pub async fn lock_all(tx: &mut PgConnection, keys: &[String]) -> sqlx::Result<HashSet<String>> {
    let locked = sqlx::query_scalar!(
        "select key from jobs where key = any($1) order by key for update",
        keys
    )
    .fetch_all(tx)
    .await?;
    Ok(locked.into_iter().collect())
}

/// Queues those of the jobs again that are done or dead, with all their attempts. Returns their
/// keys.
pub async fn requeue_all(
    tx: &mut PgConnection,
    keys: &[String],
    at: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let requeued = sqlx::query!(
        r#"
        with ended as (
            select job_id
            from jobs
            where key = any($1) and state in ('done', 'dead')
            order by key
            for update
        ),
        requeued as (
            update jobs
            set state = 'queued', attempt = 0, due_at = $2, queued_at = $2, finished_at = null
            from ended
            where jobs.job_id = ended.job_id
            returning jobs.key, jobs.kind
        )
        select key, pg_notify($3, kind) as "notified" from requeued
        "#,
        keys,
        at,
        CHANNEL,
    )
    .fetch_all(tx)
    .await?;
    Ok(requeued.into_iter().map(|row| row.key).collect())
}

/// Makes those of the jobs due now that are queued for later, done or dead. The caller has locked
/// them ([`lock_all`]), so that the outcome of a claimed one cannot be recorded before the caller's
/// transaction ends.
pub async fn reschedule_all_now(
    tx: &mut PgConnection,
    keys: &[String],
    traceparent: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        with rescheduled as (
            update jobs
            set state = 'queued', attempt = case when state = 'queued' then attempt else 0 end,
                due_at = $2, queued_at = $2, finished_at = null,
                traceparent = coalesce($4, traceparent)
            where key = any($1)
                and (state in ('done', 'dead') or state = 'queued' and due_at > $2)
            returning kind
        )
        select pg_notify($3, kind) as "notified" from rescheduled
        "#,
        keys,
        now,
        CHANNEL,
        traceparent,
    )
    .fetch_all(tx)
    .await
    .map(drop)
}

/// Ends those of the jobs of a kind that are queued and have nothing left to do. Claimed ones are
/// left alone: their workers read the state of the subject themselves.
pub async fn cancel_all(
    tx: &mut PgConnection,
    kind: &str,
    subjects: &[String],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let keys: Vec<String> = subjects.iter().map(|subject| key(kind, subject)).collect();
    sqlx::query!(
        "
        with queued as (
            select job_id
            from jobs
            where key = any($1) and state = 'queued'
            order by key
            for update
        )
        update jobs
        set state = 'done', finished_at = $2
        from queued
        where jobs.job_id = queued.job_id
        ",
        &keys,
        now,
    )
    .execute(tx)
    .await
    .map(drop)
}
