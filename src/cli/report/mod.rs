//! `report`: what was sent to whom, and what came of the financings, as CSV for people who keep books.

mod delivery;
mod transactions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use crate::cli::out::say;
use crate::database::Pool;
use crate::letters::evidence;
use crate::stripe::AccountId;

/// What to report.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Letters, a line each: to whom, in which approved words, what the relay and Stripe said
    Delivery {
        #[command(flatten)]
        asked: Asked,
        /// Show addresses in full rather than masked
        #[arg(long)]
        addresses: bool,
    },
    /// Movements of financings, a line each: payouts, paydowns, reversals
    Transactions {
        #[command(flatten)]
        asked: Asked,
    },
    /// Write the message of a letter as it went over the wire into a file, and print its SHA-256
    Message {
        /// The letter, letter_…
        letter: String,
        /// Where to; .eml opens in a mail program
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// What a report is about. Days are days in UTC.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// The first day, as 2026-11-01
    #[arg(long, value_name = "DAY")]
    from: NaiveDate,
    /// The last day; both are part of the report
    #[arg(long, value_name = "DAY")]
    to: NaiveDate,
    /// Of this account alone
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
}

impl Asked {
    /// From its first moment to before the one after its last.
    fn period(&self) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
        ensure!(self.from <= self.to, "--from {} comes after --to {}", self.from, self.to);
        let end = self.to.checked_add_days(Days::new(1)).context("--to is beyond all calendars")?;
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        Ok((midnight(self.from), midnight(end)))
    }

    fn account(&self) -> Option<&str> {
        self.account.as_ref().map(AccountId::as_str)
    }
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    super::with_database(config, async |db| match action {
        Action::Delivery { asked, addresses } => delivery::write(db, &asked, addresses).await,
        Action::Transactions { asked } => transactions::write(db, &asked).await,
        Action::Message { letter, out } => message(db, &letter, &out).await,
    })
    .await
}

async fn message(db: &Pool, letter: &str, out: &Path) -> anyhow::Result<()> {
    let Some(message) = evidence::store::last_message(db, letter).await? else {
        bail!("{letter} was never handed over, or there is no such letter");
    };
    let sha256 = hex::encode(&message.sha256);
    let Some(bytes) = message.bytes else {
        bail!("the message was erased; its SHA-256 was {sha256}")
    };
    ensure!(
        evidence::is_hash_of(&message.sha256, &bytes),
        "the bytes do not have the hash that was written down: {sha256}"
    );
    std::fs::write(out, bytes).with_context(|| format!("cannot write {}", out.display()))?;
    say!("{sha256}  {}  (attempt {})", out.display(), message.attempt)?;
    Ok(())
}
