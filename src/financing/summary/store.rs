//! Stored summaries, one per account: the latest, with the difference that it showed.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::Difference;
use crate::database::{Dismissed, json_text};
use crate::stripe::FinancingSummary;

#[derive(Debug)]
pub(super) struct StoredSummary {
    pub(super) object: Value,
    /// When Stripe was asked.
    pub(super) as_of: DateTime<Utc>,
}

/// The account's summary, if it was fetched in this mode.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<Option<StoredSummary>> {
    sqlx::query_as!(
        StoredSummary,
        "
        select object, as_of
        from financing_summaries
        where account_id = $1 and livemode is not distinct from $2
        ",
        account_id,
        livemode,
    )
    .fetch_optional(db)
    .await
}

/// Stripe's answer.
pub(super) struct FetchedSummary<'a> {
    pub(super) summary: FinancingSummary,
    /// The complete JSON object, stored unchanged.
    pub(super) object: &'a Value,
    pub(super) as_of: DateTime<Utc>,
}

/// Since when the totals have differed from Stripe's summary; none if they agree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DifferenceSince {
    /// By any amounts.
    pub(super) any: Option<DateTime<Utc>>,
    /// By the present amounts.
    pub(super) same: Option<DateTime<Utc>>,
}

/// Stores a summary and its difference, unless a newer summary is stored: then nothing changes and
/// the times are none.
pub(super) async fn upsert(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    fetched: &FetchedSummary<'_>,
    difference: Option<&Difference>,
) -> sqlx::Result<DifferenceSince> {
    let difference = difference
        .map(|of| format!("{} {} {}", of.advanced_minor, of.paid_minor, of.remaining_minor));
    let since = sqlx::query_as!(
        DifferenceSince,
        r#"
        insert into financing_summaries as kept (
            account_id, object, as_of, livemode, difference, differs_since, difference_since
        )
        values ($1, $2::text::json, $3::timestamptz, $5, $4::text,
            case when $4 is not null then $3 end, case when $4 is not null then $3 end)
        on conflict (account_id) do update
        set object = excluded.object, as_of = excluded.as_of, livemode = excluded.livemode,
            difference = excluded.difference,
            differs_since = case when excluded.difference is not null then coalesce(
                case when kept.livemode is not distinct from excluded.livemode
                    then kept.differs_since end, excluded.as_of
            ) end,
            difference_since = case when excluded.difference is not null then coalesce(
                case when kept.livemode is not distinct from excluded.livemode
                    and kept.difference = excluded.difference
                    then kept.difference_since end,
                excluded.as_of
            ) end
        where kept.as_of <= excluded.as_of
        returning differs_since as "any", difference_since as "same"
        "#,
        account_id,
        json_text(fetched.object),
        fetched.as_of,
        difference,
        livemode,
    )
    .fetch_optional(db)
    .await?;
    Ok(since.unwrap_or_default())
}

/// Whether the last comparison found a difference.
pub(in crate::financing) async fn differs(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from financing_summaries where account_id = $1 and differs_since is not null
        ) as "differs!"
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}

/// Stops counting the account as differing.
pub(super) async fn clear_difference(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update financing_summaries
        set differs_since = null, difference = null, difference_since = null
        where account_id = $1
        ",
        account_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The number of accounts whose totals have differed from Stripe's since before this moment.
pub async fn differing(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from financing_summaries where differs_since <= $1"#,
        before,
    )
    .fetch_one(db)
    .await
}

/// An account whose totals differ from Stripe's summary.
#[derive(Clone, Debug)]
pub struct DifferingAccount {
    pub account_id: String,
    pub since: DateTime<Utc>,
    /// How many such accounts there are.
    pub total: i64,
}

/// The accounts that have differed since `before` or longer, the longest first.
pub async fn list_differing(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    dismissed: &Dismissed,
    limit: i64,
) -> sqlx::Result<Vec<DifferingAccount>> {
    sqlx::query_as!(
        DifferingAccount,
        r#"
        select account_id, differs_since as "since!", count(*) over () as "total!"
        from financing_summaries
        where differs_since <= $1 and not exists (
            select from unnest($2::text[], $3::timestamptz[]) as dismissed (id, at)
            where dismissed.id = account_id and dismissed.at >= differs_since
        )
        order by differs_since, account_id
        limit $4
        "#,
        before,
        &dismissed.ids,
        &dismissed.at,
        limit,
    )
    .fetch_all(db)
    .await
}
