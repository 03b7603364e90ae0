//! The SQL of the queue. The caller owns the transaction.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{AttemptError, Claim, NewJob, Outcome};
use crate::database::{export_rows, storable};
use crate::telemetry::traces;

/// The `NOTIFY` channel for new jobs. The payload is their kind.
pub(super) const CHANNEL: &str = "courier_jobs";

/// `last_error` of a job that has used all its attempts without recording one outcome.
pub(super) const PROCESS_DIED: &str = "the process died during each attempt";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    Inserted,
    /// A job of this kind and subject exists, perhaps done already. Nothing was changed.
    Duplicate,
}

/// Queues a job, due now, in the transaction that makes it necessary.
pub async fn enqueue(
    db: impl PgExecutor<'_>,
    kind: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Queued> {
    add(db, kind, subject, false, now).await
}

/// As [`enqueue`]; the job is claimed only while no other of its kind is due.
pub async fn enqueue_low_priority(
    db: impl PgExecutor<'_>,
    kind: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Queued> {
    add(db, kind, subject, true, now).await
}

async fn add(
    db: impl PgExecutor<'_>,
    kind: &str,
    subject: &str,
    low_priority: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<Queued> {
    let added = sqlx::query!(
        r#"
        with added as (
            insert into jobs (kind, key, subject, low_priority, due_at, queued_at, traceparent)
            values ($1, $1 || ':' || $2, $2, $5, $3, $3, $6)
            on conflict (key) do nothing
            returning job_id
        )
        -- Sent at commit, once for all jobs of a transaction.
        select pg_notify($4, $1) as "notified" from added
        "#,
        kind,
        subject,
        now,
        CHANNEL,
        low_priority,
        traces::traceparent(),
    )
    .fetch_optional(db)
    .await?;
    Ok(if added.is_some() { Queued::Inserted } else { Queued::Duplicate })
}

/// Queues a job again that is done or dead, with all its attempts; one that has left
/// ([`delete_done`]), or never was, is queued anew. False if it is queued or claimed. Does not wait
/// for the holder of a claim.
pub async fn requeue(db: impl PgExecutor<'_>, job: &NewJob<'_>) -> sqlx::Result<bool> {
    let requeued = sqlx::query!(
        r#"
        with requeued as (
            update jobs
            set state = 'queued', attempt = 0, due_at = $3, queued_at = $3, finished_at = null
            where key = $1 || ':' || $2 and state in ('done', 'dead')
            returning job_id
        ),
        added as (
            insert into jobs (kind, key, subject, low_priority, due_at, queued_at, traceparent)
            select $1, $1 || ':' || $2, $2, $5, $3, $3, $6
            where not exists (select from requeued)
            on conflict (key) do nothing
            returning job_id
        )
        select pg_notify($4, $1) as "notified"
        from (select from requeued union all select from added) as queued
        "#,
        job.kind,
        job.subject,
        job.due_at,
        CHANNEL,
        job.low_priority,
        job.traceparent,
    )
    .fetch_optional(db)
    .await?;
    Ok(requeued.is_some())
}

/// Reconciliation requeues a dead job at most this often.
const BETWEEN_REQUEUES: TimeDelta = TimeDelta::hours(1);

/// Queues a dead job again, with all its attempts, unless that was done within the last hour. False
/// if it was not queued. A job that killed the process at each attempt stays dead until an operator
/// requeues it.
pub async fn requeue_dead(
    db: impl PgExecutor<'_>,
    kind: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let requeued = sqlx::query!(
        r#"
        with requeued as (
            update jobs
            set state = 'queued', attempt = 0, due_at = $3, queued_at = $3, finished_at = null,
                requeued_at = $3
            where key = $1 || ':' || $2 and state = 'dead' and last_error is distinct from $5
                and (requeued_at between $6 and $3) is not true
            returning job_id
        )
        select pg_notify($4, $1) as "notified" from requeued
        "#,
        kind,
        subject,
        now,
        CHANNEL,
        PROCESS_DIED,
        now - BETWEEN_REQUEUES,
    )
    .fetch_optional(db)
    .await?;
    Ok(requeued.is_some())
}

/// Makes every job of a kind due now that was snoozed with this error, and drops the error. Does not
/// wait for jobs that another transaction has locked: it decides about them itself.
pub async fn reschedule_put_off(
    db: impl PgExecutor<'_>,
    kind: &str,
    error: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with put_off as (
            select job_id
            from jobs
            where kind = $1 and state = 'queued' and last_error = $2
            order by job_id
            -- Waiting could deadlock with transactions that lock several jobs.
            for update skip locked
        ),
        rescheduled as (
            update jobs
            set due_at = least(due_at, $3), last_error = null
            from put_off
            where jobs.job_id = put_off.job_id
            returning jobs.job_id
        )
        -- Also if there is none: wakes workers that claimed nothing during the pause.
        select pg_notify($4, $1) as "notified"
        "#,
        kind,
        error,
        now,
        CHANNEL,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    pub kind: &'a str,
    pub limit: usize,
    /// How many of them may be queued ones. Jobs with an expired lease have started already and do
    /// not count against the capacity.
    pub fresh: usize,
    pub lease: Duration,
    /// How long an expired lease is still respected.
    pub grace: Duration,
}

/// Claims jobs that are due or whose lease has expired: expired leases first, then the longest due,
/// then low priority. Commit before working.
pub async fn claim(
    db: impl PgExecutor<'_>,
    request: &ClaimRequest<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Claim>> {
    // One token per claim: a worker that claims a job again is fenced from its earlier self.
    let token = Uuid::new_v4();
    let rows = sqlx::query!(
        r#"
        -- Separate scans, each along an index and no further than its limit: a single one with `or`
        -- would sort the whole backlog at each claim.
        with abandoned as (
            select job_id
            from jobs
            where kind = $1 and state = 'claimed' and leased_until <= $6
            order by leased_until
            limit $2
            for update skip locked
        ),
        queued as (
            select job_id
            from jobs
            where kind = $1 and state = 'queued' and not low_priority and due_at <= $3
            order by due_at, job_id
            limit least($7, $2 - (select count(*) from abandoned))
            for update skip locked
        ),
        low_priority as (
            select job_id
            from jobs
            where kind = $1 and state = 'queued' and low_priority and due_at <= $3
            order by due_at, job_id
            limit least($7, $2 - (select count(*) from abandoned)) - (select count(*) from queued)
            for update skip locked
        ),
        due as (
            select job_id from abandoned
            union all
            select job_id from queued
            union all
            select job_id from low_priority
        )
        update jobs
        set state = 'claimed', attempt = attempt + 1, lease_token = $4, leased_until = $5
        where job_id = any(array(select job_id from due))
        returning job_id, subject, attempt, traceparent,
            job_id in (select job_id from abandoned) as "is_taken_over!"
        "#,
        request.kind,
        i64::try_from(request.limit).unwrap_or(i64::MAX),
        now,
        token,
        now + request.lease,
        now - request.grace,
        i64::try_from(request.fresh).unwrap_or(i64::MAX),
    )
    .fetch_all(db)
    .await?;
    let claims = rows.into_iter().map(|row| {
        Claim::new(row.job_id, request.kind, row.subject, row.attempt, token)
            .of(row.traceparent, row.is_taken_over)
    });
    Ok(claims.collect())
}

/// Claims one job whether or not it is due. `None` if it is claimed, done or dead. For a command
/// that does not wait.
pub async fn claim_now(
    db: impl PgExecutor<'_>,
    kind: &str,
    subject: &str,
    lease: Duration,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Claim>> {
    let token = Uuid::new_v4();
    let row = sqlx::query!(
        "
        update jobs
        set state = 'claimed', attempt = attempt + 1, lease_token = $4, leased_until = $5
        where key = $1 || ':' || $2
            and (state = 'queued' or (state = 'claimed' and leased_until <= $3))
        returning job_id, attempt, traceparent
        ",
        kind,
        subject,
        now,
        token,
        now + lease,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let mut claim = Claim::new(row.job_id, kind, subject.to_owned(), row.attempt, token);
        claim.traceparent = row.traceparent;
        claim
    }))
}

/// Extends the claim to `lease` from now. [`AttemptError::LeaseLost`] if it no longer holds.
pub async fn renew(
    db: impl PgExecutor<'_>,
    claim: &Claim,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<(), AttemptError> {
    let renewed = sqlx::query!(
        "
        update jobs
        set leased_until = $3
        where job_id = $1 and lease_token = $2 and state = 'claimed'
        ",
        claim.job_id,
        claim.token,
        now + lease,
    )
    .execute(db)
    .await?;
    require_held(renewed.rows_affected() == 1)
}

/// Locks the job until the transaction ends. [`AttemptError::LeaseLost`] if the claim no longer
/// holds. Must be the first statement of a transaction that records something during an attempt.
pub async fn lock_claim(db: impl PgExecutor<'_>, claim: &Claim) -> Result<(), AttemptError> {
    let held = sqlx::query_scalar!(
        "
        select job_id
        from jobs
        where job_id = $1 and lease_token = $2 and state = 'claimed'
        for update
        ",
        claim.job_id,
        claim.token,
    )
    .fetch_optional(db)
    .await?;
    require_held(held.is_some())
}

/// Ends an attempt. [`AttemptError::LeaseLost`] if the claim no longer holds. Must be the first
/// statement of the transaction that records the outcome: its row lock keeps other workers off the
/// job until the commit.
pub async fn finish(
    db: impl PgExecutor<'_>,
    claim: &Claim,
    outcome: Outcome<'_>,
    now: DateTime<Utc>,
) -> Result<(), AttemptError> {
    let (state, due_at, error, finished_at, attempt) = match outcome {
        Outcome::Done => ("done", None, None, Some(now), claim.attempt),
        Outcome::Retry { at, error } => ("queued", Some(at), Some(error), None, claim.attempt),
        // The claim counted the attempt; a snooze takes that back.
        Outcome::Snooze { at, error } => ("queued", Some(at), Some(error), None, claim.attempt - 1),
        Outcome::Reschedule { at } => ("queued", Some(at), None, None, 0),
        Outcome::Discard { error } => ("dead", None, Some(error), Some(now), claim.attempt),
    };
    // The next run of a periodic job has another cause.
    let ends_trace = matches!(outcome, Outcome::Reschedule { at } if at > now);
    let finished = sqlx::query!(
        "
        update jobs
        set state = $3, due_at = coalesce($4, due_at), finished_at = $6, attempt = $7,
            -- Attempts that start again at 1 drop the old error.
            last_error = case when $7 = 0 then $5 else coalesce($5, last_error) end,
            lease_token = null, leased_until = null,
            traceparent = case when $8 then null else traceparent end
        where job_id = $1 and lease_token = $2 and state = 'claimed'
        ",
        claim.job_id,
        claim.token,
        state,
        due_at,
        error.map(storable),
        finished_at,
        attempt,
        ends_trace,
    )
    .execute(db)
    .await?;
    require_held(finished.rows_affected() == 1)?;
    claim.set_outcome(outcome);
    Ok(())
}

/// Deletes jobs of a kind that were done before `before`, the longest done first, at most `limit`.
/// Returns their number and when the last of them was done; the next call continues there (`from`),
/// because the index keeps what was deleted until it is vacuumed.
pub async fn delete_done(
    db: impl PgExecutor<'_>,
    kind: &str,
    from: DateTime<Utc>,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Option<(u64, DateTime<Utc>)>> {
    let deleted = sqlx::query!(
        r#"
        with expired as (
            select job_id
            from jobs
            where kind = $1 and state = 'done' and finished_at >= $2 and finished_at < $3
            order by finished_at
            limit $4
            -- One that is being queued again stays.
            for update skip locked
        ),
        deleted as (
            delete from jobs using expired where jobs.job_id = expired.job_id
            returning jobs.finished_at
        )
        select count(*) as "jobs!", max(finished_at) as last from deleted
        "#,
        kind,
        from,
        before,
        limit,
    )
    .fetch_one(db)
    .await?;
    Ok(deleted.last.map(|last| (deleted.jobs.unsigned_abs(), last)))
}

/// A lost lease is an error, so that `?` drops the caller's transaction and rolls it back.
fn require_held(is_held: bool) -> Result<(), AttemptError> {
    if is_held { Ok(()) } else { Err(AttemptError::LeaseLost) }
}

// By what the job is about: `<id>` or `<id>/<cause>`.
export_rows!(
    export,
    "select * from jobs where split_part(subject, '/', 1) = any($1) order by job_id"
);
