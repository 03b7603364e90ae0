//! A report as a table for a spreadsheet.

use super::{Body, MovementLine, PayoutLine, Report};
use crate::format::csv::{amount, code, harmless, writer};

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

/// The lines of a report under the names of their columns. The totals are left out: a spreadsheet adds up by itself.
pub(super) fn write(report: &Report) -> csv::Result<Vec<u8>> {
    let mut out = writer(Vec::new());
    match &report.body {
        Body::Movements { lines, .. } => {
            out.write_record(MOVEMENTS)?;
            for line in lines {
                out.write_record(movement(line))?;
            }
        }
        Body::Payouts { lines, .. } => {
            out.write_record(PAYOUTS)?;
            for line in lines {
                out.write_record(payout(line))?;
            }
        }
    }
    out.into_inner().map_err(|error| error.into_error().into())
}

fn movement(line: &MovementLine) -> [String; 8] {
    let amount = |minor| amount(minor, &line.currency);
    [
        line.begins_on.to_string(),
        code(&line.currency),
        amount(line.advanced_minor),
        amount(line.withheld_minor),
        amount(line.paid_otherwise_minor),
        amount(line.paid_minor),
        line.transactions.to_string(),
        line.unclear.to_string(),
    ]
}

fn payout(line: &PayoutLine) -> [String; 14] {
    let sums = &line.sums;
    let amount = |minor| amount(minor, &sums.currency);
    [
        harmless(&line.payout_id).into_owned(),
        harmless(&line.status).into_owned(),
        line.arrives_on.to_string(),
        code(&sums.currency),
        amount(sums.gross_sales_minor),
        amount(sums.refunds_minor),
        amount(sums.platform_fees_minor),
        amount(sums.other_fees_minor),
        amount(sums.withheld_minor),
        amount(sums.advanced_minor),
        amount(sums.other_minor),
        amount(sums.paid_out_minor),
        amount(sums.unexplained_minor),
        line.is_complete.to_string(),
    ]
}
