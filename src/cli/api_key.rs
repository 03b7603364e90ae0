//! `api-key`: the keys of programs that call us.

use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use secrecy::ExposeSecret;

use crate::cli::out::{self, note, say};
use crate::database::{self, Pool};
use crate::web::api::{Scope, keys};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Make a key, and print its secret: the only time that anybody sees it
    Create {
        /// For whom or what it is
        #[arg(long)]
        name: String,
        /// What it may do: `opt_outs:read`, `opt_outs:write`, `bounces:write`, `financings:read`, `links:write`, `contacts:write`; as
        /// few as will do
        #[arg(long = "scope", value_name = "SCOPE", required = true, num_args = 1..)]
        scopes: Vec<Scope>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List all keys, without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, at once and for good
    Revoke {
        /// key_…
        id: String,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    super::with_database(config, async |db| act(db, action).await).await
}

async fn act(db: &Pool, action: Action) -> anyhow::Result<()> {
    let now = database::now(db).await?;
    match action {
        Action::Create { name, scopes, json } => {
            let new = keys::create(db, &name, &scopes, now).await?;
            let secret = new.secret.expose_secret();
            if json {
                return out::json(&serde_json::json!({"key_id": new.key_id, "secret": secret}));
            }
            say!("{}  {name}", new.key_id)?;
            say!("{secret}")?;
            note!("Keep the secret now: it is not shown again.");
            Ok(())
        }
        Action::List { json } => {
            let all = keys::store::list(db).await?;
            if json {
                return out::json(&all);
            }
            for key in all {
                say!("{}", line(&key))?;
            }
            Ok(())
        }
        Action::Revoke { id } => {
            ensure!(keys::store::revoke(db, &id, now).await?, "there is no key {id} that holds");
            say!("{id} is revoked")?;
            Ok(())
        }
    }
}

fn line(key: &keys::store::Shown) -> String {
    let day = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d").to_string();
    let state = match (key.revoked_at, key.last_used_at) {
        (Some(at), _) => format!("revoked {}", day(at)),
        (None, Some(at)) => format!("last used {}", day(at)),
        (None, None) => "never used".to_owned(),
    };
    format!(
        "{}  {}  {:<20}  {}  {}",
        key.key_id,
        day(key.created_at),
        state,
        key.scopes.join(","),
        key.name
    )
}
