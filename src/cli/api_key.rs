//! `api-key`: keys for programs that call the API.

use anyhow::ensure;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::PgConnection;

use crate::cli::instruction::ReasonArg;
use crate::cli::out::{self, DAY, note, say};
use crate::cli::table;
use crate::database::{self, Pool};
use crate::operators::Instruction;
use crate::operators::actions::Action as LogEntry;
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
        #[command(flatten)]
        reason: ReasonArg,
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
            Self::Create { name, scopes, reason, json } => {
                create(db, &reason.instruction()?, (&name, &scopes), json).await
            }
            Self::List { json } => {
                let keys = keys::store::list(db).await?;
                table::print(json, &keys, ["key", "created", "state", "scopes", "name"], cells)
            }
            Self::Revoke { id, reason, json } => {
                let by = reason.instruction()?;
                let mut tx = db.begin().await?;
                let now = database::now(&mut *tx).await?;
                let revoked = keys::store::revoke(&mut *tx, &id, now).await?;
                ensure!(revoked, "no active key {id}");
                record(&mut tx, &by, ("api_key.revoke", &id, "revoked"), now).await?;
                tx.commit().await?;
                let outcome = serde_json::json!({"key_id": id, "outcome": "revoked"});
                out::outcome(json, &outcome, format_args!("revoked {id}"))
            }
        }
    }
}

async fn create(
    db: &Pool,
    by: &Instruction,
    (name, scopes): (&str, &[Scope]),
    json: bool,
) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let new = keys::create(&mut *tx, name, scopes, now).await?;
    record(&mut tx, by, ("api_key.create", &new.key_id, name), now).await?;
    tx.commit().await?;
    let secret = new.secret.expose_secret();
    if json {
        return out::json(&serde_json::json!({
            "key_id": new.key_id, "secret": secret, "outcome": "created",
        }));
    }
    say!("{}  {name}", new.key_id)?;
    say!("{secret}")?;
    note!("Store the secret now: it is not shown again.");
    Ok(())
}

async fn record(
    tx: &mut PgConnection,
    by: &Instruction,
    (name, key_id, outcome): (&str, &str, &str),
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    by.record(tx, LogEntry::new(name, format!("api_key:{key_id}"), outcome), now).await
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
