//! `account export`: every row that belongs to an account, table by table, with all columns. The
//! shape is in docs/data-model.md. Each module reads its own tables; this one knows their order and
//! by which ids they are found.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use sqlx::PgConnection;

use crate::cli::out::{self, note};
use crate::cli::progress::Progress;
use crate::consent::{contact_overrides, opt_outs, suppression};
use crate::database::{self, Pool};
use crate::flow::{delivered, inbox};
use crate::operators::actions;
use crate::stripe::AccountId;
use crate::web::portal;
use crate::{feedback, financing, letters, offers, queue};

/// Readable by its owner alone: the file holds personal data.
const FILE_MODE: u32 = 0o600;

/// Prints the document or writes it to a file, which is not touched unless all tables were read.
pub(super) async fn export(
    db: &Pool,
    account: &AccountId,
    path: Option<&Path>,
) -> anyhow::Result<()> {
    let now = database::now(db).await?;
    // One snapshot: rows that are written meanwhile do not appear in one table and lack in another.
    let mut tx = database::snapshot(db).await?;
    let mut document = Document::begin(account, &now.to_rfc3339())?;
    let reading = Progress::counter("tables");
    write_tables(&mut tx, account, &mut document, &reading).await?;
    drop(reading);
    let document = document.end()?;
    drop(tx);
    let Some(path) = path else { return Ok(out::stdout().write_all(&document)?) };
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(FILE_MODE).open(path);
    file.and_then(|mut file| file.write_all(&document))
        .with_context(|| format!("cannot write {}", path.display()))?;
    note!("{account}: written to {}", path.display());
    Ok(())
}

async fn write_tables(
    db: &mut PgConnection,
    account: &AccountId,
    document: &mut Document,
    progress: &Progress,
) -> anyhow::Result<()> {
    let id = account.as_str();
    let by_account = [id.to_owned()];
    let listed = offers::store::list_of_account(&mut *db, id).await?;
    let by_offer: Vec<String> = listed.into_iter().map(|offer| offer.offer_id).collect();
    let (by_letter, by_address) = letters::export::keys_of(&mut *db, id).await?;
    let by_account_or_offer = [&by_account[..], &by_offer].concat();
    let by_letter_or_address = [&by_letter[..], &by_address].concat();
    let by_subject = [&by_account[..], &by_offer, &by_letter].concat();

    macro_rules! write_tables {
        ($($table:literal: $rows:path, $ids:expr;)+) => {
            $(
                document.table($table, &$rows(&mut *db, &$ids).await?)?;
                progress.advance(1);
            )+
        };
    }
    write_tables! {
        "financing_offers": offers::store::export, by_account;
        "timeline_entries": offers::timeline::export, by_account_or_offer;
        "letters": letters::export::letters, by_account;
        "delivery_attempts": letters::export::delivery_attempts, by_account;
        "delivery_attempt_results": letters::export::delivery_attempt_results, by_account;
        "deliveries": letters::export::deliveries, by_offer;
        "delivery_reports": delivered::export_reports, by_account;
        "feedback_events": feedback::export, by_letter;
        "contact_overrides": contact_overrides::export, by_account;
        "operator_actions": actions::export, by_account;
        "opt_outs": opt_outs::store::export, by_account;
        "suppressed_addresses": suppression::store::export, by_letter_or_address;
        "financing_transactions": financing::export::transactions, by_account;
        "refill_discounts": financing::export::discounts, by_account;
        "transaction_backfills": financing::export::backfills, by_account;
        "financing_summaries": financing::export::summaries, by_account;
        "account_locales": financing::export::account_locales, by_account;
        "charge_sources": financing::export::charge_sources, by_account;
        "payout_explanations": financing::export::payout_explanations, by_account;
        "portal_sessions": portal::export_sessions, by_account;
        "inbox_events": inbox::store::export, by_account;
        "inbox_bodies": inbox::bodies::store::export, by_account;
        "jobs": queue::export, by_subject;
    }
    Ok(())
}

/// The document, of rows that are JSON texts already: parsing them again would change numbers that
/// do not fit into a double.
struct Document {
    bytes: Vec<u8>,
    has_table: bool,
}

impl Document {
    fn begin(account: &AccountId, exported_at: &str) -> io::Result<Self> {
        let mut bytes = Vec::new();
        // Neither contains a character that JSON escapes.
        write!(
            bytes,
            "{{\n  \"account_id\": \"{account}\",\n  \"exported_at\": \"{exported_at}\",\n  \
             \"tables\": {{"
        )?;
        Ok(Self { bytes, has_table: false })
    }

    /// One line for each row.
    fn table(&mut self, name: &str, rows: &[String]) -> io::Result<()> {
        let comma = if std::mem::replace(&mut self.has_table, true) { "," } else { "" };
        write!(self.bytes, "{comma}\n    \"{name}\": [")?;
        for (position, row) in rows.iter().enumerate() {
            write!(self.bytes, "{}\n      ", if position > 0 { "," } else { "" })?;
            out::write_json(&mut self.bytes, row)?;
        }
        write!(self.bytes, "{}]", if rows.is_empty() { "" } else { "\n    " })
    }

    fn end(mut self) -> io::Result<Vec<u8>> {
        self.bytes.write_all(b"\n  }\n}\n")?;
        Ok(self.bytes)
    }
}
