//! What a person sees of the jobs.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A job, for a person.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Shown {
    /// The row.
    pub job_id: i64,
    /// What kind of work.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// `queued`, `claimed`, `done` or `dead`.
    pub state: String,
    /// Counted from 1.
    pub attempt: i32,
    /// When it is, or was, due.
    pub due_at: DateTime<Utc>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Jobs in a state, those that were due last first.
pub async fn list(db: impl PgExecutor<'_>, state: &str, limit: i64) -> sqlx::Result<Vec<Shown>> {
    sqlx::query_as!(
        Shown,
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

/// One job.
pub async fn find(db: impl PgExecutor<'_>, job_id: i64) -> sqlx::Result<Option<Shown>> {
    sqlx::query_as!(
        Shown,
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

/// Jobs of a kind that somebody works on, or that wait for their lease to run out.
pub async fn claimed_count(db: impl PgExecutor<'_>, kind: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from jobs where kind = $1 and state = 'claimed'"#,
        kind
    )
    .fetch_one(db)
    .await
}

/// Jobs that were given up and that a person must look at.
pub async fn dead_count(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from jobs where state = 'dead'"#)
        .fetch_one(db)
        .await
}
