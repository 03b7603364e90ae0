//! `report`: CSV or JSON for accounting and compliance.

mod delivery;
mod told_elsewhere;
mod transactions;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use crate::cli::out;
use crate::database::Pool;
use crate::letters::evidence;
use crate::stripe::AccountId;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Emails, one line each: recipient, approved wording, answers of the relay and of Stripe
    Delivery {
        #[command(flatten)]
        filter: Filter,
        /// Do not mask addresses
        #[arg(long)]
        addresses: bool,
    },
    /// Offers that merchants learned of in another way: you reported it, or they saw the offer in
    /// the Capital section
    ToldElsewhere {
        #[command(flatten)]
        filter: Filter,
    },
    /// Financing transactions, one line each: payouts, paydowns, reversals
    Transactions {
        #[command(flatten)]
        filter: Filter,
    },
    /// Write the message of an email to a file, exactly as sent, and print its SHA-256
    Message {
        /// letter_…
        letter: String,
        /// The file; mail programs open .eml
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Days are days in UTC.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// The first day, for example 2026-11-01
    #[arg(long, value_name = "DAY")]
    from: NaiveDate,
    /// The last day, inclusive
    #[arg(long, value_name = "DAY")]
    to: NaiveDate,
    /// Only this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// Print JSON instead of CSV
    #[arg(long)]
    json: bool,
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::Delivery { filter, addresses } => delivery::write(db, &filter, addresses).await,
            Self::ToldElsewhere { filter } => told_elsewhere::write(db, &filter).await,
            Self::Transactions { filter } => transactions::write(db, &filter).await,
            Self::Message { letter, out, json } => write_message(db, &letter, &out, json).await,
        }
    }
}

impl Filter {
    /// From the start of the first day to the end of the last, exclusive.
    fn period(&self) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
        ensure!(self.from <= self.to, "--from {} is after --to {}", self.from, self.to);
        let end = self.to.checked_add_days(Days::new(1)).context("--to is out of range")?;
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        Ok((midnight(self.from), midnight(end)))
    }

    fn account(&self) -> Option<&str> {
        self.account.as_ref().map(AccountId::as_str)
    }
}

async fn write_message(db: &Pool, letter: &str, path: &Path, json: bool) -> anyhow::Result<()> {
    let Some(message) = evidence::store::last_message(db, letter).await? else {
        bail!("{letter} not found, or never handed to the relay");
    };
    let sha256 = hex::encode(&message.sha256);
    let Some(bytes) = message.bytes else {
        bail!("the message was erased; its SHA-256 is {sha256}")
    };
    ensure!(
        evidence::is_hash_of(&message.sha256, &bytes),
        "the message does not match its recorded SHA-256 {sha256}"
    );
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    let (file, attempt) = (path.display().to_string(), message.attempt);
    out::outcome(
        json,
        &serde_json::json!({
            "letter_id": letter, "sha256": sha256, "file": file, "attempt": attempt,
        }),
        format_args!("{sha256}  {file}  (attempt {attempt})"),
    )
}
