//! A report as CSV.

use std::io;

use super::{Body, MovementLine, PayoutLine, Report};
use crate::format::csv::{Cell, CsvWriter};

const MOVEMENTS: [&str; 8] = [
    "begins_on",
    "currency",
    "advanced",
    "withheld",
    "paid_otherwise",
    "paid",
    "transactions",
    "unclear",
];
const PAYOUTS: [&str; 14] = [
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

/// Without the totals: a spreadsheet computes them.
pub(super) fn write(report: &Report) -> io::Result<Vec<u8>> {
    match &report.body {
        Body::Movements { lines, .. } => {
            let mut out = CsvWriter::new(Vec::new(), MOVEMENTS)?;
            for line in lines {
                out.write(movement(line))?;
            }
            out.finish()
        }
        Body::Payouts { lines, .. } => {
            let mut out = CsvWriter::new(Vec::new(), PAYOUTS)?;
            for line in lines {
                out.write(payout(line))?;
            }
            out.finish()
        }
    }
}

fn movement(line: &MovementLine) -> [Cell; 8] {
    let amount = |minor| Cell::amount(minor, &line.currency);
    [
        line.begins_on.into(),
        Cell::currency(&line.currency),
        amount(line.advanced_minor),
        amount(line.withheld_minor),
        amount(line.paid_otherwise_minor),
        amount(line.paid_minor),
        line.transactions.into(),
        line.unclear.into(),
    ]
}

fn payout(line: &PayoutLine) -> [Cell; 14] {
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
