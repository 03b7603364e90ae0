//! `opt-out`: accounts that opted out of emails.

mod list;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::cli::out::say;
use crate::cli::records::Records;
use crate::cli::table;
use crate::consent::opt_outs::{self, Note, OptOutOutcome, OptOutRequest, OptOutSource, store};
use crate::database::{self, Pool};
use crate::stripe::AccountId;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Opt an account out; emails that wait are suppressed
    Add {
        /// The connected account, acct_…
        account: AccountId,
        /// The reason, or the merchant's request
        #[arg(long, value_name = "TEXT")]
        note: Option<Note>,
    },
    /// Allow emails to an account again; suppressed emails stay suppressed
    Remove {
        /// The connected account, acct_…
        account: AccountId,
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
    },
}

/// Rows per query of an export.
const PAGE_SIZE: i64 = 1000;

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::Add { account, note } => add(db, &account, note.as_ref()).await,
            Self::Remove { account } => {
                let now = database::now(db).await?;
                let ended = store::end(
                    db,
                    account.as_str(),
                    OptOutSource::ALL,
                    OptOutSource::Operator,
                    now,
                )
                .await?;
                ensure!(ended, "{account} is not opted out");
                Ok(say!("{account} is no longer opted out")?)
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
            Self::Import { file } => import(db, &file).await,
        }
    }
}

async fn add(db: &Pool, account: &AccountId, note: Option<&Note>) -> anyhow::Result<()> {
    let now = database::now(db).await?;
    let request = OptOutRequest {
        account_id: account.as_str(),
        source: OptOutSource::Operator,
        note: note.map(Note::as_str),
        since: now,
    };
    let mut tx = db.begin().await?;
    let opted_out = opt_outs::opt_out(&mut tx, &request, now).await?;
    tx.commit().await?;
    match opted_out {
        OptOutOutcome::Inserted => say!("{account} is opted out")?,
        OptOutOutcome::Duplicate => say!("{account} was opted out already")?,
    }
    Ok(())
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

async fn import(db: &Pool, file: &Path) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("cannot read the list from stdin")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let now = database::now(db).await?;
    let imported = list::read(&bytes, now)?;
    let mut tx = db.begin().await?;
    let mut new = 0;
    for row in &imported {
        let request = OptOutRequest {
            account_id: row.account.as_str(),
            source: OptOutSource::Import,
            note: row.note.as_ref().map(Note::as_str),
            since: row.opted_out_at.unwrap_or(now),
        };
        new += usize::from(
            opt_outs::opt_out(&mut tx, &request, now).await? == OptOutOutcome::Inserted,
        );
    }
    tx.commit().await?;
    say!("opted out {new} accounts; {} were opted out already", imported.len() - new)?;
    Ok(())
}
