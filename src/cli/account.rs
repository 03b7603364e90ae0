//! `account`: what is kept of an account.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;

use crate::cli::out::{self, say};
use crate::database::{self, Pool};
use crate::maintenance::retention;
use crate::stripe::AccountId;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Take out an account's personal data, and keep the proof that letters were sent; letters that wait are withdrawn
    ///
    /// A letter that is being sent is passed over: the output says so. Visits to the account's Capital section end. The account is not opted out: see `opt-out add`.
    Erase {
        /// The connected account, acct_…
        account: AccountId,
        /// Also the messages and addresses in the proof, of which hashes stay. Needs the database's owner
        #[arg(long)]
        with_proof: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    let Action::Erase { account, with_proof, yes, json } = action;
    super::with_database(config, async |db| {
        // Before the question: a mistyped id must not look like one of which everything is erased.
        ensure!(
            retention::is_known(db, account.as_str()).await?,
            "no account {account} is known here: nothing was erased; check the id"
        );
        ensure!(yes || confirmed(&account, with_proof)?, "nothing was erased");
        erase(db, &account, with_proof, json).await
    })
    .await
}

fn confirmed(account: &AccountId, with_proof: bool) -> std::io::Result<bool> {
    let what =
        if with_proof { "personal data and the messages in the proof" } else { "personal data" };
    let mut stderr = std::io::stderr();
    write!(
        stderr,
        "Erase {what} of {account}? It cannot be brought back. Type the account's id: "
    )?;
    stderr.flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    Ok(typed.trim() == account.as_str())
}

async fn erase(db: &Pool, account: &AccountId, with_proof: bool, json: bool) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let erased = retention::erase_account(&mut tx, account.as_str(), with_proof, now).await?;
    let messages = retention::messages_kept(&mut *tx, account.as_str()).await?;
    tx.commit().await?;
    if json {
        return out::json(&erased);
    }
    let retention::Erased { letters, events, contacts, proofs, visits, left } = erased;
    say!(
        "{account}: {letters} letters, {events} events, {contacts} named addresses, {proofs} proofs, {visits} visits"
    )?;
    if messages > 0 {
        say!(
            "the proof keeps {messages} messages, with the address and the words of each: `--with-proof` removes them"
        )?;
    }
    if left > 0 {
        say!(
            "{left} letters are being sent, or may be sent yet: run this again when they are settled"
        )?;
    }
    say!(
        "it is not opted out by this: `capital-courier opt-out add {account}` keeps it from further letters"
    )?;
    Ok(())
}
