//! The SQL of the reports.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgExecutor;

use super::Line;

/// What to add up.
pub(super) struct Wanted<'a> {
    pub(super) account_id: &'a str,
    /// Of this mode alone.
    pub(super) livemode: Option<bool>,
    /// From this moment on.
    pub(super) from: DateTime<Utc>,
    /// And before this one.
    pub(super) until: DateTime<Utc>,
    /// The first days of the periods, in their order.
    pub(super) first_days: &'a [NaiveDate],
    /// When each of these begins. The moments are ours: Postgres has a table of time zones of its own, in which some have no name.
    pub(super) beginnings: &'a [DateTime<Utc>],
}

/// A line for each period in which something moved, and for each currency of it.
pub(super) async fn lines(db: impl PgExecutor<'_>, wanted: &Wanted<'_>) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as!(
        Line,
        r#"
        select ($6::date[])[width_bucket(created_at, $5::timestamptz[])] as "begins_on!",
            currency as "currency!",
            saturated_bigint(coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0)) as "advanced_minor!",
            saturated_bigint(coalesce(sum(sign * total_minor) filter (where effect = 'paid' and is_withholding), 0))
                as "withheld_minor!",
            saturated_bigint(coalesce(sum(sign * total_minor) filter (where effect = 'paid' and not is_withholding), 0))
                as "paid_otherwise_minor!",
            saturated_bigint(coalesce(sum(sign * total_minor) filter (where effect = 'paid'), 0)) as "paid_minor!",
            count(*) filter (where effect <> 'unclear') as "transactions!",
            count(*) filter (where effect = 'unclear') as "unclear!"
        from financing_ledger
        where account_id = $1 and ($2::boolean is null or livemode = $2) and created_at >= $3
            and created_at < $4
        group by 1, 2
        order by 1, 2
        "#,
        wanted.account_id,
        wanted.livemode,
        wanted.from,
        wanted.until,
        wanted.beginnings,
        wanted.first_days,
    )
    .fetch_all(db)
    .await
}
