//! `address`: suppressed addresses.

use anyhow::Context;

use crate::cli::out::{self, MINUTE, say};
use crate::cli::table;
use crate::consent::suppression::{self, AddressHash};
use crate::database::{self, Pool};

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
            Self::Allow { address } => {
                let mut tx = db.begin().await?;
                let now = database::now(&mut *tx).await?;
                let lifted = suppression::lift(&mut tx, &address, "operator", now).await?;
                tx.commit().await?;
                let lifted = lifted.context("the address is not suppressed")?;
                say!("the address is allowed again; queued {} held emails", lifted.released)?;
                for offer in lifted.offers_to_resend {
                    say!("not queued: run `offer resend {offer}` to send its email again")?;
                }
                Ok(())
            }
        }
    }
}
