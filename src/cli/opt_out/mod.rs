//! `opt-out`: accounts that want no letters.

mod list;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::out::{self, say};
use crate::consent::opt_outs::{self, OptedOut};
use crate::consent::opt_outs::{Note, OptOutRequest, Source, store};
use crate::database::{self, Pool};
use crate::stripe::AccountId;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Send an account no more letters; those that wait are suppressed
    Add {
        /// The connected account, acct_…
        account: AccountId,
        /// Why, or in whose words
        #[arg(long, value_name = "TEXT")]
        note: Option<Note>,
    },
    /// Let an account have letters again; those that were suppressed stay so
    Remove {
        /// The connected account, acct_…
        account: AccountId,
    },
    /// List the accounts that want no letters
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every opt-out as CSV, also those that have ended: who said so, and when
    Export,
    /// Take in a list that was kept elsewhere: all of it, or nothing where a line is wrong
    ///
    /// CSV with a header: `account`, and where they are known `note` and `opted_out_at` (2026-11-24 or 2026-11-24T12:00:00Z).
    /// An account that is opted out already stays as it is.
    Import {
        /// The list, or `-` for stdin
        file: PathBuf,
    },
}

/// Rows that are read at once.
const PAGE: i64 = 1000;

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    super::with_database(config, async |db| act(db, action).await).await
}

async fn act(db: &Pool, action: Action) -> anyhow::Result<()> {
    match action {
        Action::Add { account, note } => add(db, &account, note.as_ref()).await,
        Action::Remove { account } => {
            let now = database::now(db).await?;
            let ended =
                store::end(db, account.as_str(), &Source::ALL, Source::Operator, now).await?;
            anyhow::ensure!(ended, "{account} is not opted out");
            say!("{account} may have letters again")?;
            Ok(())
        }
        Action::List { json } => {
            let all = store::list(db).await?;
            if json {
                return out::json(&all);
            }
            for out in all {
                let note = out.note.unwrap_or_default();
                say!(
                    "{}  {}  {}  {note}",
                    out.account_id,
                    out.opted_out_at.to_rfc3339(),
                    out.source
                )?;
            }
            Ok(())
        }
        Action::Export => export(db).await,
        Action::Import { file } => import(db, &file).await,
    }
}

async fn add(db: &Pool, account: &AccountId, note: Option<&Note>) -> anyhow::Result<()> {
    let now = database::now(db).await?;
    let request = OptOutRequest {
        account_id: account.as_str(),
        source: Source::Operator,
        note: note.map(Note::as_str),
        since: now,
    };
    let mut tx = db.begin().await?;
    let opted_out = opt_outs::opt_out(&mut tx, &request, now).await?;
    tx.commit().await?;
    match opted_out {
        OptedOut::Inserted => say!("{account} gets no more letters")?,
        OptedOut::Duplicate => say!("{account} got no letters before either")?,
    }
    Ok(())
}

async fn export(db: &Pool) -> anyhow::Result<()> {
    let mut writer = list::Writer::new(out::stdout())?;
    let mut page = store::Page { after: 0, limit: PAGE, with_ended: true };
    loop {
        let rows = store::page(db, &page).await?;
        for row in &rows {
            writer.write(row)?;
        }
        match rows.last() {
            Some(last) => page.after = last.opt_out_id,
            None => return Ok(writer.finish()?),
        }
    }
}

async fn import(db: &Pool, file: &Path) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("cannot read the list from stdin")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let now = database::now(db).await?;
    let rows = list::read(&bytes, now)?;
    let mut tx = db.begin().await?;
    let mut new = 0;
    for row in &rows {
        let request = OptOutRequest {
            account_id: row.account.as_str(),
            source: Source::Import,
            note: row.note.as_ref().map(Note::as_str),
            since: row.opted_out_at.unwrap_or(now),
        };
        new += usize::from(opt_outs::opt_out(&mut tx, &request, now).await? == OptedOut::Inserted);
    }
    tx.commit().await?;
    say!("{new} accounts opted out, {} were before", rows.len() - new)?;
    Ok(())
}
