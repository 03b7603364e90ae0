//! `contact`: the address that the platform sets for an account's emails.

use anyhow::ensure;
use serde_json::json;

use crate::cli::instruction::ReasonArg;
use crate::cli::out::{self, MINUTE};
use crate::consent::contact_overrides::{self, ContactOverride};
use crate::database::Pool;
use crate::mail::Address;
use crate::mail::mask::masked_address;
use crate::maintenance::retention;
use crate::operators::acts;
use crate::stripe::AccountId;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Send an account's emails to this address, and retry the emails that lacked one
    ///
    /// It takes precedence over every address at Stripe. An email that may have been sent keeps its
    /// address.
    Set {
        /// The connected account, acct_…
        account: AccountId,
        /// One address, without a name
        address: Address,
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send an account's emails to its address at Stripe again
    Clear {
        /// The connected account, acct_…
        account: AccountId,
        #[command(flatten)]
        reason: ReasonArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the address that was set for an account
    Show {
        /// The connected account, acct_…
        account: AccountId,
        /// Do not mask the address
        #[arg(long)]
        addresses: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        match self {
            Self::Set { account, address, reason, json } => {
                let by = reason.instruction()?;
                let queued = acts::set_contact(db, &by, account.as_str(), &address).await?;
                out::outcome(
                    json,
                    &json!({
                        "account_id": account, "outcome": "set", "email": address.to_string(),
                        "queued": queued,
                    }),
                    format_args!("{account}: emails go to {address}; queued {queued} held emails"),
                )
            }
            Self::Clear { account, reason, json } => {
                acts::clear_contact(db, &reason.instruction()?, account.as_str()).await?;
                out::outcome(
                    json,
                    &json!({"account_id": account, "outcome": "cleared"}),
                    format_args!("{account}: emails go to its address at Stripe again"),
                )
            }
            Self::Show { account, addresses, json } => show(db, &account, addresses, json).await,
        }
    }
}

async fn show(db: &Pool, account: &AccountId, addresses: bool, json: bool) -> anyhow::Result<()> {
    let found = contact_overrides::find(db, account.as_str()).await?;
    ensure!(
        found.is_some() || retention::is_known(db, account.as_str()).await?,
        "account {account} not found: check the id"
    );
    let Some(ContactOverride { address, updated_at, updated_by }) = found else {
        return out::outcome(
            json,
            &json!({"account_id": account, "email": null}),
            format_args!("{account}: no address is set: emails go to its address at Stripe"),
        );
    };
    let email = if addresses { address } else { masked_address(&address) };
    out::outcome(
        json,
        &json!({
            "account_id": account, "email": email, "updated_at": updated_at,
            "updated_by": updated_by,
        }),
        format_args!("{account}: {email}, set {} by {updated_by}", updated_at.format(MINUTE)),
    )
}
