//! `letter`: single emails, by their state, reason and market.

mod many;
mod show;

use clap::ArgGroup;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use strum::VariantNames;

use crate::cli::instruction::WhyArg;
use crate::cli::out::{self, MINUTE};
use crate::cli::{settle, table};
use crate::database::Pool;
use crate::letters::State;
use crate::letters::listing::LetterFilter;
use crate::operators::letters::{self, LetterInMarket};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List emails, newest first
    List {
        /// Only emails in this state
        #[arg(long, value_parser = states())]
        state: Option<State>,
        #[command(flatten)]
        which: Which,
        /// Only emails older than this one: the last of the previous page
        #[arg(long, value_name = "LETTER")]
        before: Option<String>,
        /// Maximum number of emails
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an email: its text, its attempts with the relay's replies, approvals, opt-out checks
    Show {
        /// letter_…
        id: String,
        /// Do not mask addresses
        #[arg(long)]
        addresses: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Retry a held email, or all that are held for a reason or in a market
    ///
    /// Each is checked again before it is sent. For one email, waits some seconds for the outcome.
    #[command(group(selection()))]
    Release {
        /// letter_…
        id: Option<String>,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        act: ActArgs,
    },
    /// Withdraw an email that waits or is held, or all that are held for a reason or in a market
    #[command(group(selection()))]
    Withdraw {
        /// letter_…
        id: Option<String>,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        act: ActArgs,
    },
}

/// Selects emails.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Only emails with this reason for their state, such as `no_recipient`
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only emails of this market: US, GB, DE, …
    #[arg(long)]
    market: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ActArgs {
    #[command(flatten)]
    why: WhyArg,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn states() -> impl TypedValueParser<Value = State> {
    // The names are those that `parse` knows.
    PossibleValuesParser::new(State::VARIANTS).try_map(|name| name.parse::<State>())
}

/// Which emails an act is about: one, or those that match.
fn selection() -> ArgGroup {
    ArgGroup::new("selection").required(true).multiple(true).args(["id", "reason", "market"])
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::List { state, which, before, limit, json } => {
                let filter = LetterFilter {
                    state,
                    reason: which.reason.as_deref(),
                    before: before.as_deref(),
                    limit: limit.into(),
                };
                list(&letters::list(db, &filter, which.market().as_deref()).await?, json)
            }
            Self::Show { id, addresses, json } => show::show(db, &id, addresses, json).await,
            Self::Release { id: Some(id), which, act } => {
                which.expect_none()?;
                letters::release(db, &act.why.instruction()?, &id).await?;
                settle::print_outcome(db, &id, act.json).await
            }
            Self::Withdraw { id: Some(id), which, act } => {
                which.expect_none()?;
                let letter = letters::withdraw(db, &act.why.instruction()?, &id).await?;
                let offer = letter.offer_id;
                let outcome = json!({"offer_id": offer, "letter_id": id, "outcome": "withdrawn"});
                out::outcome(act.json, &outcome, format_args!("{offer}: withdrew {id}"))
            }
            Self::Release { id: None, which, act } => many::release(db, &which, act).await,
            Self::Withdraw { id: None, which, act } => many::withdraw(db, &which, act).await,
        }
    }
}

impl Which {
    fn market(&self) -> Option<String> {
        self.market.as_ref().map(|market| market.to_uppercase())
    }

    fn expect_none(&self) -> anyhow::Result<()> {
        let is_none = self.reason.is_none() && self.market.is_none();
        anyhow::ensure!(is_none, "give the id of an email, or --reason and --market, not both");
        Ok(())
    }
}

fn list(letters: &[LetterInMarket], json: bool) -> anyhow::Result<()> {
    let titles = ["letter", "changed", "market", "kind", "offer", "account", "state"];
    table::print(json, letters, titles, |LetterInMarket { letter, market }| {
        let reason = letter.reason.as_deref().map(|reason| format!(" ({reason})"));
        [
            letter.letter_id.clone(),
            letter.changed_at.format(MINUTE).to_string(),
            market.unwrap_or("-").to_owned(),
            letter.kind.clone(),
            letter.offer_id.clone(),
            letter.account_id.clone(),
            format!("{}{}", letter.state, reason.unwrap_or_default()),
        ]
    })
}
