//! `opt-out`: accounts that want no letters.

use std::path::Path;
use std::process::ExitCode;

use crate::clock::Clock;
use crate::flow::email::{self, OptedOut, opt_out};
use crate::stripe::AccountId;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Send an account no more letters; those that wait are suppressed
    Add {
        /// The connected account, acct_…
        account: AccountId,
        /// Why, or in whose words
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Let an account have letters again; those that were suppressed stay so
    Remove {
        /// The connected account, acct_…
        account: AccountId,
    },
    /// List the accounts that want no letters
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    super::over_the_database(config, async |db| act(db, action).await).await
}

async fn act(db: &sqlx::PgPool, action: Action) -> anyhow::Result<()> {
    match action {
        Action::Add { account, note } => {
            let mut tx = db.begin().await?;
            let now = Clock::system().now();
            let opted_out =
                email::opt_out(&mut tx, account.as_str(), "operator", note.as_deref(), now).await?;
            tx.commit().await?;
            match opted_out {
                OptedOut::First => println!("{account} gets no more letters"),
                OptedOut::Again => println!("{account} got no letters before either"),
            }
        }
        Action::Remove { account } => {
            let now = Clock::system().now();
            let ended = opt_out::store::end(db, account.as_str(), &opt_out::SOURCES, "operator", now).await?;
            anyhow::ensure!(ended, "{account} is not opted out");
            println!("{account} may have letters again");
        }
        Action::List { json } => {
            let all = opt_out::store::list(db).await?;
            if json {
                return super::print_json(&all);
            }
            for out in all {
                let note = out.note.unwrap_or_default();
                println!("{}  {}  {}  {note}", out.account_id, out.opted_out_at.to_rfc3339(), out.source);
            }
        }
    }
    Ok(())
}
