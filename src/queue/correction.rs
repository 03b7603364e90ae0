//! Corrects due times and leases that a wrong clock wrote. The database's clock may have been wrong
//! before the service noticed ([`crate::clock`]), and a job that is due or leased until years from
//! now would never run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Next, Retryable};

/// The longest delay and lease that are ever written for a kind of job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) delay: Duration,
    pub(super) lease: Duration,
}

/// Another replica may use longer leases while a change of `queue.lease` is rolled out.
const LEASES: u32 = 10;
/// Tolerates small backward steps of the database's clock.
const SLACK: Duration = Duration::from_mins(1);

/// Makes jobs due now whose due time exceeds `limits`, and shortens leases that exceed them to one
/// full lease from now, so that a live holder can still renew. Returns the number of jobs.
pub(super) async fn correct_times(
    db: impl PgExecutor<'_>,
    kind: &str,
    limits: &Limits,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        with due as (
            update jobs
            set due_at = $2
            where kind = $1 and state = 'queued' and low_priority in (true, false) and due_at > $3
            returning job_id
        ),
        held as (
            select job_id
            from jobs
            where kind = $1 and state = 'claimed' and leased_until > $5
            -- Its holder is renewing or finishing it.
            for update skip locked
        ),
        leased as (
            update jobs
            set leased_until = $4
            from held
            where jobs.job_id = held.job_id
            returning jobs.job_id
        )
        select (select count(*) from due) + (select count(*) from leased) as "corrected!"
        "#,
        kind,
        now,
        now + limits.delay + SLACK,
        now + limits.lease,
        now + limits.lease * LEASES + SLACK,
    )
    .fetch_one(db)
    .await
}

/// The database's clock is not confirmed by Stripe's, so work that depends on the time must wait.
#[derive(Debug, thiserror::Error)]
#[error("the database's clock differs from Stripe's, or was never compared: correct it (NTP)")]
pub struct WrongClock;

impl Retryable for WrongClock {
    fn next(&self) -> Next {
        Next::Postpone(Duration::from_secs(10))
    }
}
