//! `opt-out`: accounts that opted out of emails.

mod list;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use crate::cli::instruction::{self, ReasonArg};
use crate::cli::out;
use crate::cli::progress::Progress;
use crate::cli::records::Records;
use crate::cli::table;
use crate::consent::opt_outs::{Note, OptOutOutcome, store};
use crate::database::{self, Pool};
use crate::operators::acts;
use crate::operators::opt_outs::{self, ImportedOptOut};
use crate::stripe::AccountId;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Opt an account out; emails that wait are suppressed
    Add {
        /// The connected account, acct_…
        account: AccountId,
        /// The reason, or the merchant's request; the same as --reason
        #[arg(long, value_name = "TEXT", conflicts_with = "reason")]
        note: Option<Note>,
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Allow emails to an account again; suppressed emails stay suppressed
    Remove {
        /// The connected account, acct_…
        account: AccountId,
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the accounts that are opted out
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print all opt-outs as CSV, with source and time, including ended ones
    Export {
        /// Print JSON instead of CSV
        #[arg(long)]
        json: bool,
    },
    /// Import opt-outs from CSV; if any line is invalid, nothing is imported
    ///
    /// The header names the columns: `account`, and optionally `note` and `opted_out_at`
    /// (2026-11-24 or 2026-11-24T12:00:00Z). Accounts that are opted out already do not change.
    Import {
        /// The file, or `-` for stdin
        file: PathBuf,
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Rows per query of an export.
const PAGE_SIZE: i64 = 1000;

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::Add { account, note, reason, json } => {
                let by = match note {
                    Some(note) => instruction::because(note),
                    None => reason.instruction()?,
                };
                let outcome = match acts::opt_out(db, &by, account.as_str()).await? {
                    OptOutOutcome::Inserted => ("opted_out", "is opted out"),
                    OptOutOutcome::Duplicate => ("duplicate", "was opted out already"),
                };
                out::outcome(
                    json,
                    &json!({"account_id": account, "outcome": outcome.0}),
                    format_args!("{account} {}", outcome.1),
                )
            }
            Self::Remove { account, reason, json } => {
                acts::end_opt_out(db, &reason.instruction()?, account.as_str()).await?;
                out::outcome(
                    json,
                    &json!({"account_id": account, "outcome": "ended"}),
                    format_args!("{account} is no longer opted out"),
                )
            }
            Self::List { json } => {
                let opt_outs = store::list_active(db).await?;
                table::print(json, &opt_outs, ["account", "since", "source", "note"], |opt_out| {
                    [
                        opt_out.account_id.clone(),
                        opt_out.opted_out_at.to_rfc3339(),
                        opt_out.source.clone(),
                        opt_out.note.clone().unwrap_or_default(),
                    ]
                })
            }
            Self::Export { json } => export(db, json).await,
            Self::Import { file, reason, json } => import(db, &file, reason, json).await,
        }
    }
}

async fn export(db: &Pool, json: bool) -> anyhow::Result<()> {
    let mut writer = Records::new(json, list::COLUMNS)?;
    let mut page = store::OptOutPage { after: 0, limit: PAGE_SIZE, with_ended: true };
    loop {
        let opt_outs = store::list_page(db, &page).await?;
        for opt_out in &opt_outs {
            writer.write(list::cells(opt_out))?;
        }
        let Some(last) = opt_outs.last() else { break };
        page.after = last.opt_out_id;
    }
    Ok(writer.finish()?)
}

async fn import(db: &Pool, file: &Path, reason: ReasonArg, json: bool) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    // Stdin holds the list, so it cannot answer a question.
    let by = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("cannot read the list from stdin")?;
        reason.without_asking()
    } else {
        bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        reason.instruction()?
    };
    let imported = list::read(&bytes, database::now(db).await?)?;
    let progress = Progress::bar("accounts", imported.len());
    let requests = imported.iter().map(|row| ImportedOptOut {
        account_id: row.account.as_str(),
        note: row.note.as_ref().map(Note::as_str),
        since: row.opted_out_at,
    });
    let new = opt_outs::import(db, &by, requests, || progress.advance(1)).await?;
    drop(progress);
    let known = imported.len() - new;
    out::outcome(
        json,
        &json!({"outcome": "opted_out", "accounts": new, "duplicates": known}),
        format_args!("opted out {new} accounts; {known} were opted out already"),
    )
}
