//! A report as CSV.

use std::io;

use super::{Report, ReportBody};
use crate::financing::payouts::Explanation;
use crate::financing::report::ReportLine;
use crate::format::csv::{Cell, CsvWriter};

const MOVEMENT_COLUMNS: [&str; 9] = [
    "begins_on",
    "currency",
    "advanced",
    "withheld",
    "paid_otherwise",
    "paid",
    "transactions",
    "unclear",
    "discounted",
];
const PAYOUT_COLUMNS: [&str; 14] = [
    "payout",
    "status",
    "arrives_on",
    "currency",
    "gross_sales",
    "refunds",
    "platform_fees",
    "other_fees",
    "withheld",
    "advanced",
    "other",
    "paid_out",
    "unexplained",
    "is_complete",
];

/// Writes the lines without totals: a spreadsheet computes them.
pub(super) fn write(report: &Report) -> io::Result<Vec<u8>> {
    match &report.body {
        ReportBody::Movements { lines, .. } => rows(MOVEMENT_COLUMNS, lines, ReportLine::cells),
        ReportBody::Payouts { lines, .. } => rows(PAYOUT_COLUMNS, lines, payout_cells),
    }
}

fn rows<T, const N: usize>(
    columns: [&str; N],
    lines: &[T],
    cells: impl Fn(&T) -> [Cell; N],
) -> io::Result<Vec<u8>> {
    let mut out = CsvWriter::new(Vec::new(), columns)?;
    lines.iter().try_for_each(|line| out.write(cells(line)))?;
    out.finish()
}

fn payout_cells(line: &Explanation) -> [Cell; 14] {
    let sums = &line.sums;
    let amount = |minor| Cell::amount(minor, &sums.currency);
    [
        line.payout_id.as_str().into(),
        line.status.as_str().into(),
        line.arrives_on.into(),
        Cell::currency(&sums.currency),
        amount(sums.gross_sales_minor),
        amount(sums.refunds_minor),
        amount(sums.platform_fees_minor),
        amount(sums.other_fees_minor),
        amount(sums.withheld_minor),
        amount(sums.advanced_minor),
        amount(sums.other_minor),
        amount(sums.paid_out_minor),
        amount(sums.unexplained_minor),
        line.is_complete.into(),
    ]
}
