//! `address`: addresses that no letter can go to.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::out::{self, say};
use crate::consent::suppression::{self, AddressHash};
use crate::database::{self, Pool};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List them, by the hash that is kept of them, with the offer whose letter came back
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let letters go to an address again, and send those that are held for it
    Allow {
        /// The address, or its hash as `list` shows it
        address: AddressHash,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    super::with_database(config, async |db| act(db, action).await).await
}

async fn act(db: &Pool, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { json } => {
            let all = suppression::store::list(db).await?;
            if json {
                return out::json(&all);
            }
            for one in all {
                let noted = one.noted_at.format("%Y-%m-%d %H:%M");
                let why = format!("{} {}", one.reason, one.status);
                say!(
                    "{}  {noted}  {why:<14}  {}  {} held",
                    one.address_sha256,
                    one.offer_id,
                    one.held
                )?;
            }
            Ok(())
        }
        Action::Allow { address } => {
            let mut tx = db.begin().await?;
            let now = database::now(&mut *tx).await?;
            let allowed = suppression::allow(&mut tx, &address, "operator", now).await?;
            tx.commit().await?;
            let allowed = allowed.context("letters may go to this address already")?;
            say!("letters may go there again; {} that were held are tried again", allowed.held)?;
            for offer in allowed.offers {
                say!("not sent by itself: `offer resend {offer}`, if it is still wanted")?;
            }
            Ok(())
        }
    }
}
