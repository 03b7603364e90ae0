//! The SQL of the reports.

use chrono_tz::Tz;
use sqlx::PgExecutor;

use super::{Days, Line, Per};

/// Whose movements to add up.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) account_id: &'a str,
    /// Of this mode alone.
    pub(super) livemode: Option<bool>,
}

/// A line for each period in which something moved, and for each currency of it.
pub(super) async fn lines(
    db: impl PgExecutor<'_>,
    whose: Whose<'_>,
    days: Days,
    per: Per,
    zone: Tz,
) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as!(
        Line,
        r#"
        select date_trunc($2, created_at at time zone $3)::date as "begins_on!", currency as "currency!",
            coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0)::bigint as "advanced_minor!",
            coalesce(sum(sign * total_minor) filter (where effect = 'paid' and is_withholding), 0)::bigint
                as "withheld_minor!",
            coalesce(sum(sign * total_minor) filter (where effect = 'paid' and not is_withholding), 0)::bigint
                as "paid_otherwise_minor!",
            coalesce(sum(sign * total_minor) filter (where effect = 'paid'), 0)::bigint as "paid_minor!",
            count(*) filter (where effect <> 'unclear') as "transactions!",
            count(*) filter (where effect = 'unclear') as "unclear!"
        from financing_ledger
        where account_id = $1 and created_at >= $4 and created_at < $5 and ($6::boolean is null or livemode = $6)
        group by 1, 2
        order by 1, 2
        "#,
        whose.account_id,
        per.as_str(),
        zone.name(),
        days.from(zone),
        days.until(zone),
        whose.livemode,
    )
    .fetch_all(db)
    .await
}
