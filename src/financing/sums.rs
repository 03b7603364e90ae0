//! Sums that are kept for accounts with very many movements, so that no query adds up more than the
//! newest of them.
//!
//! `ledger_sums` has the sums of the quarters of an hour, hours and days before `covered_until` of
//! the account's row in `ledger_coverage`. Accounts with few movements have no such row. Queries
//! read both through the function `ledger_parts`, in one statement and so from one snapshot: where
//! there are no sums, they add up the movements.
//!
//! The sums are those of the view `financing_ledger`, to the cent, because
//!
//! - a trigger adds up anew the quarters of an hour that a stored transaction or discount changes.
//!   It locks the row in `ledger_coverage`, as [`Financings::keep_sums`] does before it covers more;
//! - a transaction that is not committed may have looked for the row before it was there. Nothing
//!   is covered until all of those have ended.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::Financings;
use crate::database::with_timeout;
use crate::stripe::AccountId;

/// The days, hours and quarters of an hour that have sums, in minutes.
pub(super) const DAY: i32 = 1_440;
const PERIODS: [i32; 3] = [DAY, 60, 15];

/// So many movements are added up in a few milliseconds.
const MAX_UNCOVERED: i64 = 1_000;

/// Added up in one database transaction: a fraction of a second.
const CHUNK: i64 = 20_000;

/// Newer movements are not covered: others of the same time may still arrive, and each would be
/// added up in a statement of its own.
const SETTLED_AFTER: TimeDelta = TimeDelta::hours(1);

/// How long, and how often, to look whether database transactions have ended.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The longest period, in minutes, that begins at each of these moments. 0 if none does: then the
/// movements are added up. That is so in time zones of before 1972.
pub(super) fn longest_period(moments: &[DateTime<Utc>]) -> i32 {
    let begins_at = |at: DateTime<Utc>, minutes: i32| {
        at.timestamp_subsec_nanos() == 0 && at.timestamp().rem_euclid(i64::from(minutes) * 60) == 0
    };
    PERIODS
        .into_iter()
        .find(|minutes| moments.iter().all(|at| begins_at(*at, *minutes)))
        .unwrap_or(0)
}

/// What one step of [`Financings::keep_sums`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// There may be more to cover.
    Extended,
    /// Nothing to do now: few movements are left to be added up, or a database transaction that takes
    /// long is in the way, and the next pass tries again.
    Sufficient,
}

impl Financings {
    /// Covers more of an account's movements, if many are not. Idempotent, and safe beside others
    /// that do the same or store movements.
    pub async fn keep_sums(&self, account: &AccountId) -> sqlx::Result<Coverage> {
        let settled = self.clock.now() - SETTLED_AFTER;
        let account = account.as_str();
        if !with_timeout(is_covered(&self.db, account)).await? {
            let from_start = nth_after(&self.db, account, None, settled, MAX_UNCOVERED);
            if with_timeout(from_start).await?.is_none() {
                return Ok(Coverage::Sufficient);
            }
            with_timeout(insert_coverage(&self.db, account)).await?;
            if !self.writers_have_ended().await? {
                tracing::debug!(
                    account.id = account,
                    "a database transaction that takes long keeps movements from being added up"
                );
                return Ok(Coverage::Sufficient);
            }
        }
        with_timeout(async {
            let mut tx = self.db.begin().await?;
            let coverage = extend(&mut tx, account, settled).await?;
            tx.commit().await?;
            Ok(coverage)
        })
        .await
    }

    /// Waits until all database transactions have ended that are storing movements or discounts
    /// now. False if one takes too long.
    async fn writers_have_ended(&self) -> sqlx::Result<bool> {
        let before = with_timeout(writers(&self.db)).await?;
        let looks = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks {
            let running = with_timeout(writers(&self.db)).await?;
            if !before.iter().any(|writer| running.contains(writer)) {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(false)
    }
}

/// The database transactions that may have stored movements or discounts and have not ended: each
/// holds its lock of the table until then.
async fn writers(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select virtualtransaction as "id!"
        from pg_locks
        where locktype = 'relation' and mode = 'RowExclusiveLock' and granted
            and database = (select oid from pg_database where datname = current_database())
            and relation in (
                'financing_transactions'::regclass, 'refill_discounts'::regclass
            )
        "#
    )
    .fetch_all(db)
    .await
}

async fn is_covered(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from ledger_coverage where account_id = $1 and covered_until is not null
        ) as "is_covered!"
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}

async fn insert_coverage(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into ledger_coverage (account_id) values ($1) on conflict (account_id) do nothing",
        account_id,
    )
    .execute(db)
    .await
    .map(drop)
}

/// The start of the quarter of an hour of the movement after the first `n`, of those from `from`
/// until `until`.
async fn nth_after(
    db: impl PgExecutor<'_>,
    account_id: &str,
    from: Option<DateTime<Utc>>,
    until: DateTime<Utc>,
    n: i64,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"
        select ledger_period(15, created_at) as "at!"
        from financing_transactions
        where account_id = $1 and created_at >= coalesce($2, '-infinity'::timestamptz)
            and created_at < $3
        order by created_at
        offset $4
        limit 1
        "#,
        account_id,
        from,
        until,
        n,
    )
    .fetch_optional(db)
    .await
}

/// Covers about [`CHUNK`] more of the movements before `settled`, if there are many.
async fn extend(
    tx: &mut PgConnection,
    account_id: &str,
    settled: DateTime<Utc>,
) -> sqlx::Result<Coverage> {
    let locked = sqlx::query_scalar!(
        "select covered_until from ledger_coverage where account_id = $1 for update",
        account_id,
    );
    // Later statements see what the transactions have stored that held the lock before.
    let covered_until = locked.fetch_one(&mut *tx).await?;
    if nth_after(&mut *tx, account_id, covered_until, settled, MAX_UNCOVERED).await?.is_none() {
        return Ok(Coverage::Sufficient);
    }
    let from = match covered_until {
        Some(at) => at,
        None => first_period(&mut *tx, account_id).await?,
    };
    let chunk_end = nth_after(&mut *tx, account_id, covered_until, settled, CHUNK).await?;
    sqlx::query!(
        r#"
        with stretch as (
            -- A quarter of an hour at least, however many movements it has.
            select greatest(
                coalesce($3, ledger_period(15, $4)), $2::timestamptz + interval '15 minutes'
            ) as until_at
        ),
        covered as (
            update ledger_coverage set covered_until = until_at from stretch where account_id = $1
        )
        select add_up_ledger($1, $2, until_at) as "added: ()" from stretch
        "#,
        account_id,
        from,
        chunk_end,
        settled,
    )
    .execute(tx)
    .await?;
    Ok(Coverage::Extended)
}

/// The start of the quarter of an hour in which an account's ledger begins.
async fn first_period(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        r#"
        select ledger_period(15, least(
            (select min(created_at) from financing_transactions where account_id = $1),
            (select min(created_at) from refill_discounts where account_id = $1)
        )) as "at!"
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_at_all_bounds() {
        let period = |moments: &[&str]| {
            let moments: Vec<DateTime<Utc>> =
                moments.iter().map(|at| at.parse().unwrap()).collect();
            longest_period(&moments)
        };
        assert_eq!(period(&["2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z"]), 1_440);
        assert_eq!(period(&["2026-11-02T00:00:00Z", "2026-11-03T05:00:00Z"]), 60);
        // Nepal and Adelaide.
        assert_eq!(period(&["2026-11-02T18:15:00Z"]), 15);
        assert_eq!(period(&["2026-11-02T14:30:00Z"]), 15);
        // Liberia until 1972.
        assert_eq!(period(&["1971-11-02T00:00:00Z", "1971-12-01T00:44:30Z"]), 0);
        assert_eq!(period(&["1969-12-31T23:59:59.5Z"]), 0);
    }
}
