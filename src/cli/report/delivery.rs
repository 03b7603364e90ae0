//! `report delivery`: the emails of a period, with evidence.

use futures_util::TryStreamExt;

use super::Filter;
use crate::cli::records::Records;
use crate::database::{self, Pool};
use crate::format::csv::Cell;
use crate::letters::evidence::store::{self, EvidencePeriod, EvidenceRecord};
use crate::mail::mask::masked_address;

const COLUMNS: [&str; 26] = [
    "letter",
    "offer",
    "account",
    "kind",
    "language",
    "disclaimer",
    "state",
    "reason",
    "recipient",
    "subject",
    "message_id",
    "sha256",
    "wording",
    "market",
    "approval",
    "approved_by",
    "attempts",
    "uncertain_attempts",
    "created_at",
    "opt_out_checked_at",
    "first_attempted_at",
    "last_attempted_at",
    "sent_at",
    "relay_reply",
    "stripe_told_at",
    "stripe_request",
];

/// Streams the report from the database to stdout.
pub(super) async fn write(db: &Pool, filter: &Filter, addresses: bool) -> anyhow::Result<()> {
    let (from, until) = filter.period()?;
    let mut out = Records::new(filter.json, COLUMNS)?;
    let mut connection = database::without_statement_timeout(db).await?;
    let period = EvidencePeriod { from, until, account_id: filter.account() };
    let mut records = store::stream_records(&mut connection, &period);
    while let Some(record) = records.try_next().await? {
        out.write(cells(record, addresses))?;
    }
    Ok(out.finish()?)
}

fn cells(line: EvidenceRecord, addresses: bool) -> [Cell; 26] {
    let shown = |address: String| if addresses { address } else { masked_address(&address) };
    [
        line.letter_id.into(),
        line.offer_id.into(),
        line.account_id.into(),
        line.kind.into(),
        line.locale.into(),
        line.disclaimer_variant.into(),
        line.state.into(),
        line.reason.into(),
        line.recipient.map(shown).into(),
        line.subject.into(),
        line.message_id.into(),
        line.message_sha256.map(hex::encode).into(),
        line.copy_hash.into(),
        line.approval_market.into(),
        line.approval_reference.into(),
        line.approved_by.into(),
        i64::from(line.attempt).into(),
        i64::from(line.uncertain_attempts).into(),
        line.created_at.into(),
        line.consent_checked_at.into(),
        line.first_attempted_at.into(),
        line.last_attempted_at.into(),
        line.sent_at.into(),
        line.relay_reply.into(),
        line.delivered_at.into(),
        line.response_request_id.into(),
    ]
}
