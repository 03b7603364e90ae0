//! SQL of `delivery_reports`. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::DeliveryReport;

/// Records that the platform told the merchant itself. False if the report was recorded before.
pub(super) async fn add_report(
    db: impl PgExecutor<'_>,
    report: &DeliveryReport<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "
        insert into delivery_reports
            (offer_id, account_id, channel, told_at, reference, reported_by, recorded_at)
        values ($1, $2, $3, $4, $5, $6, $7)
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
