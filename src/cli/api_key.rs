//! `api-key`: keys for programs that call the API.

use anyhow::ensure;
use secrecy::ExposeSecret;

use crate::cli::out::{self, DAY, note, say};
use crate::cli::table;
use crate::database::{self, Pool};
use crate::web::api::{Scope, keys};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Create a key and print its secret, which is shown only once
    Create {
        /// A name that tells who uses the key
        #[arg(long)]
        name: String,
        /// What the key allows: `opt_outs:read`, `opt_outs:write`, `bounces:write`,
        /// `financings:read`, `offers:write`, `links:write`, `contacts:write`
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
    /// Revoke a key, immediately and permanently
    Revoke {
        /// key_…
        id: String,
    },
}

impl Action {
    pub(super) async fn run(self, db: &Pool) -> anyhow::Result<()> {
        let now = database::now(db).await?;
        match self {
            Self::Create { name, scopes, json } => {
                let new = keys::create(db, &name, &scopes, now).await?;
                let secret = new.secret.expose_secret();
                if json {
                    return out::json(&serde_json::json!({"key_id": new.key_id, "secret": secret}));
                }
                say!("{}  {name}", new.key_id)?;
                say!("{secret}")?;
                note!("Store the secret now: it is not shown again.");
                Ok(())
            }
            Self::List { json } => {
                let keys = keys::store::list(db).await?;
                table::print(json, &keys, ["key", "created", "state", "scopes", "name"], cells)
            }
            Self::Revoke { id } => {
                let revoked = keys::store::revoke(db, &id, now).await?;
                ensure!(revoked, "no active key {id}");
                Ok(say!("revoked {id}")?)
            }
        }
    }
}

fn cells(key: &keys::store::KeySummary) -> [String; 5] {
    let state = match (key.revoked_at, key.last_used_at) {
        (Some(at), _) => format!("revoked {}", at.format(DAY)),
        (None, Some(at)) => format!("last used {}", at.format(DAY)),
        (None, None) => "never used".to_owned(),
    };
    [
        key.key_id.clone(),
        key.created_at.format(DAY).to_string(),
        state,
        key.scopes.join(","),
        key.name.clone(),
    ]
}
