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
