//! `report told-elsewhere`: the deliveries of a period that went by another channel than email.

use futures_util::TryStreamExt;

use super::Filter;
use crate::cli::records::Records;
use crate::database::{self, Pool};
use crate::flow::delivered::{ReportRange, StoredReport, stream_reports};
use crate::format::csv::Cell;

const COLUMNS: [&str; 7] =
    ["offer", "account", "channel", "told_at", "reference", "reported_by", "recorded_at"];

/// Streams the report from the database to stdout.
pub(super) async fn write(db: &Pool, filter: &Filter) -> anyhow::Result<()> {
    let (from, until) = filter.period()?;
    let mut out = Records::new(filter.json, COLUMNS)?;
    let mut connection = database::without_statement_timeout(db).await?;
    let range = ReportRange { from, until, account_id: filter.account() };
    let mut reports = stream_reports(&mut connection, &range);
    while let Some(report) = reports.try_next().await? {
        out.write(cells(report))?;
    }
    Ok(out.finish()?)
}

fn cells(report: StoredReport) -> [Cell; 7] {
    [
        report.offer_id.into(),
        report.account_id.into(),
        report.channel.into(),
        report.told_at.into(),
        report.reference.into(),
        report.reported_by.into(),
        report.recorded_at.into(),
    ]
}
