//! `report delivery`: the letters of a period, with the proof of what was sent.

use futures_util::TryStreamExt;

use super::Asked;
use crate::cli::out::stdout;
use crate::database::{self, Pool};
use crate::format::csv::{harmless, maybe, moment, writer};
use crate::letters::evidence::store::{self, Line, Period};
use crate::mail::Address;

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
    "doubts",
    "opened_at",
    "opt_out_checked_at",
    "first_handed_over_at",
    "last_handed_over_at",
    "sent_at",
    "relay_answer",
    "stripe_told_at",
    "stripe_request",
];

/// Writes the report to stdout, as it comes from the database.
pub(super) async fn write(db: &Pool, asked: &Asked, addresses: bool) -> anyhow::Result<()> {
    let (from, until) = asked.period()?;
    let mut out = writer(stdout());
    out.write_record(COLUMNS)?;
    let mut connection = database::without_statement_timeout(db).await?;
    let period = Period { from, until, account_id: asked.account() };
    let mut lines = store::lines(&mut connection, &period);
    while let Some(line) = lines.try_next().await? {
        out.write_record(cells(&line, addresses))?;
    }
    Ok(out.flush()?)
}

fn cells(line: &Line, addresses: bool) -> [String; 26] {
    let text = |text: &Option<String>| harmless(text.as_deref().unwrap_or_default()).into_owned();
    [
        line.letter_id.clone(),
        line.offer_id.clone(),
        line.account_id.clone(),
        line.kind.clone(),
        text(&line.locale),
        text(&line.disclaimer_variant),
        line.state.clone(),
        text(&line.reason),
        recipient(line.recipient.as_deref(), addresses),
        text(&line.subject),
        line.message_id.clone(),
        line.message_sha256.as_deref().map(hex::encode).unwrap_or_default(),
        text(&line.copy_hash),
        text(&line.approval_market),
        text(&line.approval_reference),
        text(&line.approved_by),
        line.attempt.to_string(),
        line.doubts.to_string(),
        moment(line.opened_at),
        maybe(line.checked_at),
        maybe(line.first_handed_over_at),
        maybe(line.last_handed_over_at),
        maybe(line.sent_at),
        text(&line.relay_answer),
        maybe(line.told_at),
        text(&line.told_request_id),
    ]
}

fn recipient(address: Option<&str>, in_full: bool) -> String {
    match address {
        None => String::new(),
        Some(address) if in_full => harmless(address).into_owned(),
        Some(address) => {
            let masked = address
                .parse()
                .map_or_else(|_| "***".to_owned(), |address: Address| address.to_string());
            harmless(&masked).into_owned()
        }
    }
}
