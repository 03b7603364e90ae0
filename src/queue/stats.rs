//! Queries about jobs for operators and metrics.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::database::Dismissed;

/// A job as `capital-courier job` prints it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct JobRow {
    pub job_id: i64,
    pub kind: String,
    /// The id of the letter or offer that the job is about.
    pub subject: String,
    /// `queued`, `claimed`, `done` or `dead`.
    pub state: String,
    /// The number of attempts so far.
    pub attempt: i32,
    pub due_at: DateTime<Utc>,
    pub last_error: Option<String>,
}

/// The jobs in `state`, latest due time first.
pub async fn list(db: impl PgExecutor<'_>, state: &str, limit: i64) -> sqlx::Result<Vec<JobRow>> {
    sqlx::query_as!(
        JobRow,
        "
        select job_id, kind, subject, state, attempt, due_at, last_error
        from jobs
        where state = $1
        order by due_at desc, job_id desc
        limit $2
        ",
        state,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The dead jobs, of one kind if given, in order.
pub async fn dead_ids(db: impl PgExecutor<'_>, kind: Option<&str>) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "
        select job_id
        from jobs
        where state = 'dead' and ($1::text is null or kind = $1)
        order by due_at, job_id
        ",
        kind,
    )
    .fetch_all(db)
    .await
}

pub async fn find(db: impl PgExecutor<'_>, job_id: i64) -> sqlx::Result<Option<JobRow>> {
    sqlx::query_as!(
        JobRow,
        "
        select job_id, kind, subject, state, attempt, due_at, last_error
        from jobs
        where job_id = $1
        ",
        job_id,
    )
    .fetch_optional(db)
    .await
}

/// The job of a kind about a subject.
pub async fn find_about(
    db: impl PgExecutor<'_>,
    kind: &str,
    subject: &str,
) -> sqlx::Result<Option<JobRow>> {
    sqlx::query_as!(
        JobRow,
        "
        select job_id, kind, subject, state, attempt, due_at, last_error
        from jobs
        where key = $1 || ':' || $2
        ",
        kind,
        subject,
    )
    .fetch_optional(db)
    .await
}

/// The open or dead jobs of a kind about these subjects.
pub async fn unfinished_about(
    db: impl PgExecutor<'_>,
    kind: &str,
    subjects: &[String],
) -> sqlx::Result<Vec<JobRow>> {
    sqlx::query_as!(
        JobRow,
        "
        select job_id, kind, subject, state, attempt, due_at, last_error
        from jobs
        where key in (select $1 || ':' || subject from unnest($2::text[]) as asked (subject))
            and state <> 'done'
        ",
        kind,
        subjects,
    )
    .fetch_all(db)
    .await
}

/// Claimed jobs of a kind, including those whose lease has expired.
pub async fn claimed_count(db: impl PgExecutor<'_>, kind: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from jobs where kind = $1 and state = 'claimed'"#,
        kind
    )
    .fetch_one(db)
    .await
}

pub async fn dead_count(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from jobs where state = 'dead'"#)
        .fetch_one(db)
        .await
}

/// A dead job, and how many there are of its kind.
#[derive(Clone, Debug)]
pub struct DeadJob {
    pub job_id: i64,
    pub kind: String,
    pub subject: String,
    pub last_error: Option<String>,
    pub finished_at: DateTime<Utc>,
    /// Dead jobs of this kind.
    pub of_kind: i64,
}

/// The dead jobs, by kind and the longest dead first: at most `limit` of each kind.
pub async fn list_dead(
    db: impl PgExecutor<'_>,
    dismissed: &Dismissed,
    limit: i64,
) -> sqlx::Result<Vec<DeadJob>> {
    sqlx::query_as!(
        DeadJob,
        r#"
        select job_id as "job_id!", kind as "kind!", subject as "subject!", last_error,
            finished_at as "finished_at!", of_kind as "of_kind!"
        from (
            select job_id, kind, subject, last_error, finished_at,
                count(*) over (partition by kind) as of_kind,
                row_number() over (partition by kind order by finished_at, job_id) as position
            from jobs
            where state = 'dead' and not exists (
                select from unnest($1::text[], $2::timestamptz[]) as dismissed (id, at)
                where dismissed.id = job_id::text and dismissed.at >= finished_at
            )
        ) as dead
        where position <= $3
        order by kind, position
        "#,
        &dismissed.ids,
        &dismissed.at,
        limit,
    )
    .fetch_all(db)
    .await
}

/// What waits of one kind of job.
#[derive(Clone, Debug)]
pub struct QueueDepth {
    pub kind: String,
    /// Queued jobs of normal priority, those due later included. At most [`MAX_COUNTED`].
    pub queued: i64,
    /// The same of low priority: reminders, which wait for working hours.
    pub queued_low: i64,
    /// The earliest due time, if it has passed.
    pub oldest_due_at: Option<DateTime<Utc>>,
    /// Claimed by a worker, those with an expired lease included.
    pub claimed: i64,
}

/// Counting stops here, so that a backlog of millions does not slow down the scrapes that show it.
pub const MAX_COUNTED: i64 = 10_000;
/// Among this many jobs, those due first, the longest queued one is looked for.
const MAX_INSPECTED: i64 = 1_000;

/// The depth of each queue. Call it in [`crate::database::along_indexes`]: then each part is read
/// along an index and no further than its limit.
pub async fn depths(
    db: impl PgExecutor<'_>,
    kinds: &[&str],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<QueueDepth>> {
    let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    sqlx::query_as!(
        QueueDepth,
        r#"
        select kinds.kind as "kind!",
            (select count(*) from (
                select from jobs
                where jobs.kind = kinds.kind and state = 'queued' and not low_priority
                order by due_at limit $3
            ) as counted) as "queued!",
            (select count(*) from (
                select from jobs
                where jobs.kind = kinds.kind and state = 'queued' and low_priority
                order by due_at limit $3
            ) as counted) as "queued_low!",
            least(
                (select due_at from jobs
                where jobs.kind = kinds.kind and state = 'queued' and not low_priority
                    and due_at <= $2
                order by due_at limit 1),
                (select due_at from jobs
                where jobs.kind = kinds.kind and state = 'queued' and low_priority
                    and due_at <= $2
                order by due_at limit 1)
            ) as oldest_due_at,
            (select count(*) from jobs where jobs.kind = kinds.kind and state = 'claimed')
                as "claimed!"
        from unnest($1::text[]) as kinds (kind)
        "#,
        &kinds,
        now,
        MAX_COUNTED,
    )
    .fetch_all(db)
    .await
}

/// Since when the longest waiting job of normal priority has been queued, however often it was
/// postponed since: its due time then says nothing. Looks at the thousand that are due first.
pub async fn oldest_queued(
    db: impl PgExecutor<'_>,
    kind: &str,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "
        select min(queued_at) from (
            select queued_at from jobs
            where kind = $1 and state = 'queued' and not low_priority
            order by due_at
            limit $2
        ) as inspected
        ",
        kind,
        MAX_INSPECTED,
    )
    .fetch_one(db)
    .await
}
