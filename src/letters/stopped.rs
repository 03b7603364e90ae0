//! Letters that wait for an operator: held, rejected or bounced. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::State;
use crate::database::Dismissed;

/// Held letters with the same reason.
#[derive(Clone, Debug)]
pub struct HeldCount {
    /// As in `letters.reason`.
    pub reason: String,
    pub count: i64,
    /// Since when the first of them is held.
    pub oldest: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct StoppedLetter {
    pub letter_id: String,
    pub offer_id: String,
    pub account_id: String,
    pub state: State,
    /// `None` only for a bounced letter.
    pub reason: Option<String>,
    /// Since when.
    pub changed_at: DateTime<Utc>,
}

/// Counts the held letters by reason, from an index alone.
pub async fn count_held(
    db: impl PgExecutor<'_>,
    dismissed: &Dismissed,
) -> sqlx::Result<Vec<HeldCount>> {
    sqlx::query_as!(
        HeldCount,
        r#"
        select reason as "reason!", count(*) as "count!", min(changed_at) as "oldest!"
        from letters
        where state = 'held' and not exists (
            select from unnest($1::text[], $2::timestamptz[]) as dismissed (id, at)
            where dismissed.id = letter_id and dismissed.at >= changed_at
        )
        group by reason
        order by reason
        "#,
        &dismissed.ids,
        &dismissed.at,
    )
    .fetch_all(db)
    .await
}

/// The letters that are held for `reason`, longest first.
pub async fn list_held(
    db: impl PgExecutor<'_>,
    reason: &str,
    dismissed: &Dismissed,
    limit: i64,
) -> sqlx::Result<Vec<StoppedLetter>> {
    sqlx::query_as!(
        StoppedLetter,
        r#"
        select letter_id, offer_id, account_id, state as "state: State", reason, changed_at
        from letters
        where state = 'held' and reason = $1 and not exists (
            select from unnest($2::text[], $3::timestamptz[]) as dismissed (id, at)
            where dismissed.id = letter_id and dismissed.at >= changed_at
        )
        order by changed_at, letter_id
        limit $4
        "#,
        reason,
        &dismissed.ids,
        &dismissed.at,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The letters that were rejected or bounced at or after `since`, latest first, whether or not
/// their offers are still open.
pub async fn list_failed(
    db: impl PgExecutor<'_>,
    since: DateTime<Utc>,
    dismissed: &Dismissed,
    limit: i64,
) -> sqlx::Result<Vec<StoppedLetter>> {
    sqlx::query_as!(
        StoppedLetter,
        r#"
        select letter_id, offer_id, account_id, state as "state: State", reason, changed_at
        from letters
        where state in ('rejected', 'bounced') and changed_at >= $1 and not exists (
            select from unnest($2::text[], $3::timestamptz[]) as dismissed (id, at)
            where dismissed.id = letter_id and dismissed.at >= changed_at
        )
        order by changed_at desc
        limit $4
        "#,
        since,
        &dismissed.ids,
        &dismissed.at,
        limit,
    )
    .fetch_all(db)
    .await
}
