//! What a wrong clock must not decide, and the correction of what it wrote. The database's clock may
//! have been wrong before it was noticed ([`crate::clock`]), and a job that is put off for years, or
//! leased for years, would never be done.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Next, Retryable};

/// The longest times from now that are ever written for jobs of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Longest {
    pub(super) delay: Duration,
    pub(super) lease: Duration,
}

/// Leases of another replica can be longer, while a change of `queue.lease` is rolled out.
const LEASES: u32 = 10;
/// The database's clock may have gone back a little since a time was written.
const SLACK: Duration = Duration::from_mins(1);

/// Corrects times that lie further ahead than any that is ever written: the database's clock was
/// wrong when they were. Such a job is due now; such a lease runs out when one that begins now does,
/// so that a holder that lives can renew it. Returns the number of jobs.
pub(super) async fn correct_times(
    db: impl PgExecutor<'_>,
    kind: &str,
    longest: &Longest,
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
        leased as (
            update jobs
            set leased_until = $4
            where kind = $1 and state = 'claimed' and leased_until > $5
            returning job_id
        )
        select (select count(*) from due) + (select count(*) from leased) as "corrected!"
        "#,
        kind,
        now,
        now + longest.delay + SLACK,
        now + longest.lease,
        now + longest.lease * LEASES + SLACK,
    )
    .fetch_one(db)
    .await
}

/// The database's clock is not Stripe's: what depends on the time must wait.
#[derive(Debug, thiserror::Error)]
#[error("the database's clock differs from Stripe's, or was never compared: correct it (NTP)")]
pub struct WrongClock;

impl Retryable for WrongClock {
    fn next(&self) -> Next {
        Next::Postpone(Duration::from_secs(10))
    }
}
