//! The SQL of the reports. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::{Fingerprint, LetterRef, Report};

/// The letter that a report is about, locked: reports about one letter are taken one after the other.
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

/// Whether a report was taken before.
pub(super) async fn has(db: impl PgExecutor<'_>, fingerprint: &Fingerprint) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from feedback_events where fingerprint = $1) as "taken!""#,
        &fingerprint.0[..],
    )
    .fetch_one(db)
    .await
}

/// FeedbackEvent a report did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done<'a> {
    pub(super) letter_id: &'a str,
    pub(super) outcome: &'a str,
    pub(super) detail: Option<&'a str>,
}

/// Writes down that a report was taken, and what it did.
pub(super) async fn add(
    db: impl PgExecutor<'_>,
    report: &Report,
    done: &Done<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into feedback_events (fingerprint, letter_id, channel, outcome, detail, reported_at)
        values ($1, $2, $3, $4, $5, $6)
        ",
        &report.fingerprint.0[..],
        done.letter_id,
        report.channel.as_str(),
        done.outcome,
        done.detail,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// When a report about a letter of ours was last taken, and by which way; none where none ever was.
pub async fn last(db: impl PgExecutor<'_>) -> sqlx::Result<Option<(DateTime<Utc>, String)>> {
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
