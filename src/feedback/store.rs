//! The SQL of applied reports. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::{FeedbackReport, Fingerprint, LetterRef};

/// Finds and locks the letter of a report, so that reports about one letter are applied one after
/// the other.
pub(super) async fn lock_letter(
    tx: &mut PgConnection,
    letter_ref: &LetterRef,
) -> sqlx::Result<Option<String>> {
    let by_id = sqlx::query_scalar!(
        "
        select letter_id
        from letters
        where letter_id = any($1)
        limit 1
        for update
        ",
        &letter_ref.letter_ids,
    )
    .fetch_optional(&mut *tx)
    .await?;
    // Our own id is more reliable than the Message-ID, which a relay may replace.
    if by_id.is_some() {
        return Ok(by_id);
    }
    sqlx::query_scalar!(
        "
        select letter_id
        from letters
        where message_id = any($1)
        limit 1
        for update
        ",
        &letter_ref.message_ids,
    )
    .fetch_optional(tx)
    .await
}

/// Whether a report was already applied.
pub(super) async fn exists(
    db: impl PgExecutor<'_>,
    fingerprint: &Fingerprint,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from feedback_events where fingerprint = $1) as "taken!""#,
        &fingerprint.0[..],
    )
    .fetch_one(db)
    .await
}

/// The effect of a report, as stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportEffect<'a> {
    pub(super) letter_id: &'a str,
    pub(super) outcome: &'a str,
    pub(super) detail: Option<&'a str>,
}

pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    report: &FeedbackReport,
    effect: &ReportEffect<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into feedback_events (fingerprint, letter_id, channel, outcome, detail, reported_at)
        values ($1, $2, $3, $4, $5, $6)
        ",
        &report.fingerprint.0[..],
        effect.letter_id,
        report.channel.as_str(),
        effect.outcome,
        effect.detail,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// When the last report about a known letter was applied, and its channel.
pub async fn find_last(db: impl PgExecutor<'_>) -> sqlx::Result<Option<(DateTime<Utc>, String)>> {
    let last = sqlx::query!(
        "
        select reported_at, channel
        from feedback_events
        order by reported_at desc
        limit 1
        ",
    )
    .fetch_optional(db)
    .await?;
    Ok(last.map(|row| (row.reported_at, row.channel)))
}
