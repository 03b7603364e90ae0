//! `address`: suppressed addresses.

use serde_json::json;

use crate::cli::instruction::ReasonArg;
use crate::cli::out::{self, MINUTE, say};
use crate::cli::table;
use crate::consent::suppression::{self, AddressHash};
use crate::database::Pool;
use crate::operators::acts;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List suppressed addresses by their hash, with the offer whose email bounced
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Allow emails to an address again, and send the emails held for it
    Allow {
        /// The address, or its hash as shown by `list`
        address: AddressHash,
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
            Self::List { json } => {
                let addresses = suppression::list(&mut *db.begin().await?).await?;
                let titles = ["address (SHA-256)", "since", "why", "offer", "emails"];
                table::print(json, &addresses, titles, |address| {
                    [
                        address.address_sha256.clone(),
                        address.suppressed_at.format(MINUTE).to_string(),
                        format!("{} {}", address.reason, address.status),
                        address.offer_id.clone(),
                        format!("{} held", address.held),
                    ]
                })
            }
            Self::Allow { address, reason, json } => {
                let lifted = acts::allow_address(db, &reason.instruction()?, &address).await?;
                let (released, offers) = (lifted.released, lifted.offers_to_resend);
                if json {
                    return out::json(&json!({
                        "address_sha256": address.to_string(), "outcome": "allowed",
                        "queued": released, "offers_to_resend": offers,
                    }));
                }
                say!("the address is allowed again; queued {released} held emails")?;
                for offer in offers {
                    say!("not queued: run `offer resend {offer}` to send its email again")?;
                }
                Ok(())
            }
        }
    }
}
