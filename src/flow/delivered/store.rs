//! SQL of `delivery_reports`. The caller owns the transaction.

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgExecutor};

use super::DeliveryReport;
use crate::database::export_rows;

/// Records that the platform told the merchant itself. False if the report was recorded before:
/// one with the same channel and time, or with the same channel and reference. The caller has
/// locked the offer.
pub(super) async fn add_report(
    db: impl PgExecutor<'_>,
    report: &DeliveryReport<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "
        insert into delivery_reports
            (offer_id, account_id, channel, told_at, reference, reported_by, recorded_at)
        select $1, $2, $3, $4, $5, $6, $7
        -- A retried request without a time has another one.
        where not exists (
            select from delivery_reports where offer_id = $1 and channel = $3 and reference = $5
        )
        on conflict on constraint delivery_reports_once do nothing
        ",
        report.offer.as_str(),
        report.account.as_str(),
        report.channel,
        report.told_at,
        report.reference,
        report.reported_by,
        now,
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// A stored report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StoredReport {
    pub offer_id: String,
    pub account_id: String,
    /// The platform's name of the channel.
    pub channel: String,
    /// When the merchant was told, by the platform's clock.
    pub told_at: DateTime<Utc>,
    /// The platform's own reference.
    pub reference: Option<String>,
    /// The id of the API key, or `portal`.
    pub reported_by: String,
    pub recorded_at: DateTime<Utc>,
}

/// Selects reports by the time at which the merchant was told.
#[derive(Clone, Copy, Debug)]
pub struct ReportRange<'a> {
    /// Inclusive.
    pub from: DateTime<Utc>,
    /// Exclusive.
    pub until: DateTime<Utc>,
    pub account_id: Option<&'a str>,
}

/// In order of time, streamed from the database.
pub fn stream_reports<'a>(
    db: &'a mut PgConnection,
    range: &ReportRange<'a>,
) -> BoxStream<'a, sqlx::Result<StoredReport>> {
    sqlx::query_as!(
        StoredReport,
        "
        select offer_id, account_id, channel, told_at, reference, reported_by, recorded_at
        from delivery_reports
        where told_at >= $1 and told_at < $2 and ($3::text is null or account_id = $3)
        order by told_at, delivery_report_id
        ",
        range.from,
        range.until,
        range.account_id,
    )
    .fetch(db)
}

/// Erases the platform's references in an account's reports. Returns their number. The caller's
/// transaction must be allowed to change evidence: see
/// [`crate::letters::evidence::store::erase_account`].
pub async fn erase_references(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<u64> {
    let erased = sqlx::query!(
        "
        update delivery_reports
        set reference = null
        where account_id = $1 and reference is not null
        ",
        account_id,
    )
    .execute(db)
    .await?;
    Ok(erased.rows_affected())
}

/// The reports about an account's offers, in the order of recording.
pub async fn reports_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Vec<StoredReport>> {
    sqlx::query_as!(
        StoredReport,
        "
        select offer_id, account_id, channel, told_at, reference, reported_by, recorded_at
        from delivery_reports
        where account_id = $1
        order by delivery_report_id
        ",
        account_id,
    )
    .fetch_all(db)
    .await
}

// By account.
export_rows!(
    export_reports,
    "select * from delivery_reports where account_id = any($1) order by delivery_report_id"
);
