//! `account`: erase personal data.

use std::io::Write;

use anyhow::ensure;

use crate::cli::out::{self, say};
use crate::database::{self, Pool};
use crate::letters;
use crate::maintenance::retention::{self, Erased};
use crate::stripe::AccountId;
use crate::web::portal;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Erase the personal data of an account; emails that wait are withdrawn, the evidence is kept
    ///
    /// Emails that are being sent are skipped, and the output says so. Sessions in the Capital
    /// section end. The account is not opted out: see `opt-out add`.
    Erase {
        /// The connected account, acct_…
        account: AccountId,
        /// Also erase messages and addresses from the evidence, which keeps their hashes. Requires
        /// the owner of the database
        #[arg(long)]
        with_proof: bool,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        let Self::Erase { account, with_proof, yes, json } = self;
        // A mistyped id must not look like an account whose data was erased.
        ensure!(
            retention::is_known(db, account.as_str()).await?
                || portal::has_session(db, account.as_str()).await?,
            "account {account} not found: nothing was erased; check the id"
        );
        ensure!(yes || confirm(&account, with_proof)?, "nothing was erased");
        erase(db, &account, with_proof, json).await
    }
}

fn confirm(account: &AccountId, with_proof: bool) -> std::io::Result<bool> {
    let what =
        if with_proof { "personal data and the messages in evidence" } else { "personal data" };
    let mut stderr = std::io::stderr();
    write!(stderr, "Erase {what} of {account}? This cannot be undone. Type the account id: ")?;
    stderr.flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    Ok(typed.trim() == account.as_str())
}

async fn erase(db: &Pool, account: &AccountId, with_proof: bool, json: bool) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let mut erased = retention::erase_account(&mut tx, account.as_str(), with_proof, now).await?;
    erased.sessions = portal::end_sessions(&mut *tx, account.as_str()).await?;
    let messages = letters::evidence::store::count_messages(&mut *tx, account.as_str()).await?;
    tx.commit().await?;
    if json {
        return out::json(&erased);
    }
    let Erased { letters, events, contacts, evidence, sessions, skipped } = erased;
    say!(
        "{account}: erased {letters} emails, {events} events, {contacts} contact addresses, \
         {evidence} pieces of evidence, {sessions} sessions"
    )?;
    if messages > 0 {
        say!(
            "{messages} messages are kept as evidence, with address and content: `--with-proof` \
             erases them"
        )?;
    }
    if skipped > 0 {
        say!(
            "skipped {skipped} emails that are being sent or may still be sent: run this again later"
        )?;
    }
    say!("the account is not opted out: `capital-courier opt-out add {account}` stops emails")?;
    Ok(())
}
