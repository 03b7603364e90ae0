//! SQL of `feedback_events`. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{FeedbackReport, Fingerprint};
use crate::database::export_rows;

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

// By letter.
export_rows!(
    export,
    "select * from feedback_events where letter_id = any($1) order by reported_at, fingerprint"
);
