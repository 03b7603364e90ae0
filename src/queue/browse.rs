//! Pages of jobs for the console. Each query walks a partial index, because jobs that are done stay
//! in the table for a week: hence one query per state, with the state as a literal.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::stats::JobRow;
use crate::database::Cursor;

/// The states that have a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OpenState {
    Queued,
    Claimed,
    Dead,
}

/// Jobs of one kind in one state.
#[derive(Clone, Debug, serde::Serialize)]
pub struct JobCount {
    pub kind: String,
    pub state: String,
    /// At most [`MAX_COUNT`] over all kinds of a state.
    pub jobs: i64,
    pub oldest_due_at: DateTime<Utc>,
}

/// A page of jobs to read, longest due first.
#[derive(Clone, Debug)]
pub struct JobPage<'a> {
    pub state: OpenState,
    pub kind: Option<&'a str>,
    pub after: Cursor<i64>,
    pub limit: i64,
}

/// Before all jobs.
pub const START: Cursor<i64> = Cursor { created_at: DateTime::UNIX_EPOCH, id: 0 };

/// Counting stops here: a flood must not make the page slow.
pub const MAX_COUNT: i64 = 10_000;

impl OpenState {
    pub const ALL: [Self; 3] = [Self::Dead, Self::Claimed, Self::Queued];

    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What is open, by kind and state.
pub async fn counts(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<JobCount>> {
    sqlx::query_as!(
        JobCount,
        r#"
        select kind as "kind!", state as "state!", count(*) as "jobs!",
            min(due_at) as "oldest_due_at!"
        from (
            (select kind, state, due_at from jobs where state = 'dead' limit $1)
            union all
            (select kind, state, due_at from jobs where state = 'claimed' limit $1)
            union all
            (select kind, state, due_at from jobs where state = 'queued' limit $1)
        ) as open_jobs
        group by kind, state
        order by kind, state
        "#,
        MAX_COUNT,
    )
    .fetch_all(db)
    .await
}

/// `kinds` are those that [`counts`] found.
pub async fn page(
    db: impl PgExecutor<'_>,
    page: &JobPage<'_>,
    kinds: &[String],
) -> sqlx::Result<Vec<JobRow>> {
    macro_rules! select_jobs {
        ($condition:literal) => {
            sqlx::query_as!(
                JobRow,
                "
                select job_id, kind, subject, state, attempt, due_at, last_error
                from jobs
                where ($1::text is null or kind = $1) and (due_at, job_id) > ($2, $3) and "
                    + $condition
                    + " order by due_at, job_id limit $4",
                page.kind,
                page.after.created_at,
                page.after.id,
                page.limit,
            )
            .fetch_all(db)
            .await
        };
    }
    match page.state {
        OpenState::Dead => select_jobs!("state = 'dead'"),
        // Few: as many as workers have at hand.
        OpenState::Claimed => select_jobs!("state = 'claimed'"),
        OpenState::Queued => {
            let one = page.kind.map(|kind| vec![kind.to_owned()]);
            queued(db, page, one.as_deref().unwrap_or(kinds)).await
        }
    }
}

/// A short walk along `jobs_queued` for each kind and priority.
async fn queued(
    db: impl PgExecutor<'_>,
    page: &JobPage<'_>,
    kinds: &[String],
) -> sqlx::Result<Vec<JobRow>> {
    sqlx::query_as!(
        JobRow,
        r#"
        select walked.job_id as "job_id!", walked.kind as "kind!", walked.subject as "subject!",
            walked.state as "state!", walked.attempt as "attempt!", walked.due_at as "due_at!",
            walked.last_error as "last_error?"
        from unnest($1::text[]) as chosen (kind)
        cross join (values (false), (true)) as priorities (is_low)
        cross join lateral (
            select job_id, jobs.kind, subject, state, attempt, due_at, last_error
            from jobs
            where state = 'queued' and jobs.kind = chosen.kind and low_priority = is_low
                and (due_at, job_id) > ($2, $3)
            order by due_at, job_id
            limit $4
        ) as walked
        order by walked.due_at, walked.job_id
        limit $4
        "#,
        kinds,
        page.after.created_at,
        page.after.id,
        page.limit,
    )
    .fetch_all(db)
    .await
}
