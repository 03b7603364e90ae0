//! The SQL of the summaries.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::Difference;
use crate::database::json_text;

/// A summary as it was kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) object: Value,
    pub(super) as_of: DateTime<Utc>,
    /// When something about the account was written down last.
    pub(super) last_news_at: Option<DateTime<Utc>>,
}

impl Kept {
    /// Whether it was asked for after this moment, and nothing was heard of the account since. One of
    /// the future was dated by a wrong clock.
    pub(super) fn is_fresh(&self, oldest: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.as_of > oldest
            && self.as_of <= now
            && self.last_news_at.is_none_or(|news| news < self.as_of)
    }
}

/// The summary that was asked for in this mode.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<Option<Kept>> {
    sqlx::query_as!(
        Kept,
        r#"
        select object, as_of,
            (
                select recorded_at from timeline_entries
                where timeline_entries.account_id = $1
                order by timeline_entry_id desc
                limit 1
            ) as "last_news_at?"
        from financing_summaries
        where account_id = $1 and livemode is not distinct from $2
        "#,
        account_id,
        livemode,
    )
    .fetch_optional(db)
    .await
}

/// What Stripe answered.
pub(super) struct Answer<'a> {
    pub(super) account_id: &'a str,
    pub(super) livemode: Option<bool>,
    pub(super) object: &'a Value,
    pub(super) as_of: DateTime<Utc>,
}

/// Since when our sums have been others than Stripe's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Since {
    /// By whatever amounts.
    pub(super) differs: Option<DateTime<Utc>>,
    /// By these.
    pub(super) by_this: Option<DateTime<Utc>>,
}

/// Writes an answer down with the difference to it, unless a younger one is there. Says since when
/// there is one.
pub(super) async fn keep(
    db: impl PgExecutor<'_>,
    answer: &Answer<'_>,
    difference: Option<&Difference>,
) -> sqlx::Result<Since> {
    let kept = sqlx::query_as!(
        Since,
        r#"
        insert into financing_summaries as kept (account_id, object, as_of, livemode, difference, differs_since, difference_since)
        values ($1, $2::text::json, $3::timestamptz, $5, $4::text, case when $4 is not null then $3 end,
            case when $4 is not null then $3 end)
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
        returning differs_since as "differs", difference_since as "by_this"
        "#,
        answer.account_id,
        json_text(answer.object),
        answer.as_of,
        difference.map(|of| format!("{} {} {}", of.advanced_minor, of.paid_minor, of.remaining_minor)),
        answer.livemode,
    )
    .fetch_optional(db)
    .await?;
    Ok(kept.unwrap_or_default())
}

/// Nothing of the account can be compared any more: it is not counted as differing.
pub(super) async fn stop_differing(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<()> {
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

/// Accounts whose sums have been others than Stripe's since before this moment.
pub async fn differing(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from financing_summaries where differs_since <= $1"#,
        before,
    )
    .fetch_one(db)
    .await
}
