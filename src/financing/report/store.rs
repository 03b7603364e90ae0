//! The SQL of the reports.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// Whose movements to add up.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) account_id: &'a str,
    /// Of this mode alone.
    pub(super) livemode: Option<bool>,
}

/// Sums of a stretch of time, in one currency.
#[derive(Debug)]
pub(super) struct Sums {
    /// Of the stretches' beginnings, the last that is not after it: counted from 1.
    pub(super) stretch: i32,
    pub(super) currency: String,
    pub(super) advanced_minor: i64,
    pub(super) withheld_minor: i64,
    pub(super) paid_otherwise_minor: i64,
    pub(super) paid_minor: i64,
    pub(super) transactions: i64,
    pub(super) unclear: i64,
}

/// The sums of each stretch in which something moved, for each currency of it. The stretches begin at these moments, and the last ends
/// at `until`. The moments are ours: Postgres has a table of time zones of its own, in which some have no name.
pub(super) async fn sums(
    db: impl PgExecutor<'_>,
    whose: Whose<'_>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    beginnings: &[DateTime<Utc>],
) -> sqlx::Result<Vec<Sums>> {
    sqlx::query_as!(
        Sums,
        r#"
        select width_bucket(created_at, $5::timestamptz[]) as "stretch!", currency as "currency!",
            coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0)::bigint as "advanced_minor!",
            coalesce(sum(sign * total_minor) filter (where effect = 'paid' and is_withholding), 0)::bigint
                as "withheld_minor!",
            coalesce(sum(sign * total_minor) filter (where effect = 'paid' and not is_withholding), 0)::bigint
                as "paid_otherwise_minor!",
            coalesce(sum(sign * total_minor) filter (where effect = 'paid'), 0)::bigint as "paid_minor!",
            count(*) filter (where effect <> 'unclear') as "transactions!",
            count(*) filter (where effect = 'unclear') as "unclear!"
        from financing_ledger
        where account_id = $1 and ($2::boolean is null or livemode = $2) and created_at >= $3 and created_at < $4
        group by 1, 2
        order by 1, 2
        "#,
        whose.account_id,
        whose.livemode,
        from,
        until,
        beginnings,
    )
    .fetch_all(db)
    .await
}
