//! `offer`: offers, and what an operator decides about their emails.

mod list;
mod show;

use anyhow::{Context, bail};
use serde_json::json;

use crate::cli::instruction::ReasonArg;
use crate::cli::out;
use crate::cli::settle;
use crate::database::Pool;
use crate::letters;
use crate::operators;
use crate::operators::acts::{self, ActError};
use crate::stripe::OfferId;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List the newest offers, with what became of their first email
    List {
        /// Only offers with this status
        #[arg(long)]
        status: Option<String>,
        /// Maximum number of offers
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an offer with its emails, its delivery and its timeline
    Show {
        /// financingoffer_…
        id: OfferId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send the email that is held, was rejected or bounced, if the offer is still open
    ///
    /// Waits some seconds for the outcome if a worker is running. Exit status: 1 if the email is
    /// held or rejected again.
    Resend {
        /// financingoffer_…
        id: OfferId,
        /// Send one more email about an offer whose first one was sent; requires a reason
        ///
        /// It is written anew, with a Message-ID of its own, and checked like any other email.
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Withdraw the email that waits or is held
    Withdraw {
        /// financingoffer_…
        id: OfferId,
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
            Self::List { status, limit, json } => {
                list::list(db, status.as_deref(), limit.into(), json).await
            }
            Self::Show { id, json } => show::show(db, id.as_str(), json).await,
            Self::Resend { id, again: true, reason, json } => {
                let by = reason.required()?;
                let letter_id = operators::letters::send_again(db, &by, id.as_str()).await?;
                settle::print_outcome(db, &letter_id, json).await
            }
            Self::Resend { id, again: false, reason, json } => {
                resend(db, id.as_str(), reason, json).await
            }
            Self::Withdraw { id, reason, json } => {
                let withdrawn = acts::withdraw(db, &reason.instruction()?, id.as_str()).await?;
                let outcome = json!({"offer_id": id, "outcome": "withdrawn", "letters": withdrawn});
                out::outcome(json, &outcome, format_args!("{id}: the email is withdrawn"))
            }
        }
    }
}

async fn resend(db: &Pool, id: &str, reason: ReasonArg, json: bool) -> anyhow::Result<()> {
    match acts::resend(db, &reason.instruction()?, id).await {
        Err(ActError::Refused(why)) => {
            bail!("{why}: see `offer show {id}`; `--again` sends one that was sent")
        }
        queued => queued?,
    }
    let letters = letters::store::of_offer(db, id).await?;
    let changed = letters.into_iter().max_by_key(|letter| letter.changed_at);
    let changed = changed.with_context(|| format!("the email of {id} no longer exists"))?;
    settle::print_outcome(db, &changed.letter_id, json).await
}
