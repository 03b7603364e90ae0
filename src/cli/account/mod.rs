//! `account`: what is stored about a connected account, and its erasure.

mod erase;
mod export;
mod show;

use std::path::PathBuf;

use anyhow::ensure;

use crate::cli::instruction::ReasonArg;
use crate::database::Pool;
use crate::maintenance::retention;
use crate::stripe::AccountId;
use crate::web::portal;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Show an account: contact, opt-outs, financings, approvals, offers with emails and deliveries
    ///
    /// Lines have at most 100 columns; --json prints everything in full. Addresses are masked.
    /// `offer show` has the timeline of an offer.
    Show {
        /// The connected account, acct_…
        account: AccountId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Export everything that is stored about an account as JSON, to answer a data subject's
    /// request
    ///
    /// Contains addresses and the content of emails, unmasked. Exported again after
    /// `account erase`, it shows what is left.
    Export {
        /// The connected account, acct_…
        account: AccountId,
        /// Write to this file, which only its owner may read, instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Erase the personal data of an account; emails that wait are withdrawn, the evidence is kept
    ///
    /// Requires a reason, such as the number of the request. Emails that are being sent are skipped,
    /// and the output says so. Sessions in the Capital section end. The account is not opted out: see
    /// `opt-out add`.
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
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::Show { account, json } => {
                require_known(db, &account, "`offer list` shows the accounts with offers").await?;
                show::show(db, &account, json).await
            }
            Self::Export { account, out } => {
                require_known(db, &account, "nothing was exported").await?;
                export::export(db, &account, out.as_deref()).await
            }
            Self::Erase { account, with_proof, yes, reason, json } => {
                require_known(db, &account, "nothing was erased").await?;
                let by = reason.instruction()?;
                ensure!(yes || erase::confirm(&account, with_proof)?, "nothing was erased");
                erase::erase(db, &by, &account, with_proof, json).await
            }
        }
    }
}

/// A mistyped id must not look like an account about which nothing is stored.
async fn require_known(db: &Pool, account: &AccountId, outcome: &str) -> anyhow::Result<()> {
    ensure!(
        retention::is_known(db, account.as_str()).await?
            || portal::has_session(db, account.as_str()).await?,
        "account {account} not found: {outcome}; check the id"
    );
    Ok(())
}
