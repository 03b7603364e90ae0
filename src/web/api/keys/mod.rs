//! API keys: created by the command `api-key`, shown once, stored as a hash.

pub mod store;

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::database::Pool;

/// A permission of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub enum Scope {
    /// Read opt-outs.
    #[strum(serialize = "opt_outs:read")]
    OptOutsRead,
    /// Create and end opt-outs.
    #[strum(serialize = "opt_outs:write")]
    OptOutsWrite,
    /// Report bounces and complaints.
    #[strum(serialize = "bounces:write")]
    BouncesWrite,
    /// Read offers, transactions, summaries and reports.
    #[strum(serialize = "financings:read")]
    FinancingsRead,
    /// Report that the platform told a merchant about an offer itself.
    #[strum(serialize = "offers:write")]
    OffersWrite,
    /// Create Account Links and Account Sessions.
    #[strum(serialize = "links:write")]
    LinksWrite,
    /// Read, set and remove contact overrides.
    #[strum(serialize = "contacts:write")]
    ContactsWrite,
}

impl Scope {
    pub const ALL: [Self; 7] = [
        Self::OptOutsRead,
        Self::OptOutsWrite,
        Self::BouncesWrite,
        Self::FinancingsRead,
        Self::OffersWrite,
        Self::LinksWrite,
        Self::ContactsWrite,
    ];

    /// The name in `api_keys.scopes` and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// No scope has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope; the scopes are {}", Scope::ALL.map(Scope::as_str).join(", "))]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// Distinguishes our secrets, for people and for secret scanners.
const PREFIX: &str = "courier_";
/// 256 random bits cannot be guessed, so a plain hash without salt is enough.
const SECRET_BYTES: usize = 32;
/// `last_used_at` is updated at most this often: it shows whether a key is in use at all.
const LAST_USED_PRECISION: TimeDelta = TimeDelta::hours(1);

/// A new key. The secret is stored nowhere.
#[derive(Debug)]
pub struct NewKey {
    pub key_id: String,
    /// What the program sends.
    pub secret: SecretString,
}

/// The authenticated caller of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub key_id: String,
    scopes: Vec<String>,
}

impl Caller {
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|name| name == scope.as_str())
    }
}

/// Creates a key.
pub async fn create(
    db: impl PgExecutor<'_>,
    name: &str,
    scopes: &[Scope],
    now: DateTime<Utc>,
) -> sqlx::Result<NewKey> {
    let key_id = format!("key_{}", Uuid::now_v7().simple());
    let bytes: [u8; SECRET_BYTES] = rand::random();
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let names: Vec<String> = scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let key =
        store::KeyRecord { key_id: &key_id, name, scopes: &names, secret_sha256: &hash(&secret) };
    store::insert(db, &key, now).await?;
    Ok(NewKey { key_id, secret: secret.into() })
}

/// The caller with this secret, unless its key is unknown or revoked. Keys are looked up by hash,
/// so the time of the lookup reveals nothing about the stored secrets.
pub async fn find(
    db: &Pool,
    secret: &SecretString,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Caller>> {
    let secret = secret.expose_secret();
    // Spares the database requests that cannot match.
    if !secret.starts_with(PREFIX) {
        return Ok(None);
    }
    let Some(key) = store::find(db, &hash(secret)).await? else { return Ok(None) };
    // Not on every request, which would turn each read into a write of the same row.
    if key.last_used_at.is_none_or(|at| now - at >= LAST_USED_PRECISION) {
        store::record_use(db, &key.key_id, now).await?;
    }
    Ok(Some(Caller { key_id: key.key_id, scopes: key.scopes }))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_round_trips_and_an_unknown_one_is_refused() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        let error = "everything".parse::<Scope>().unwrap_err().to_string();
        assert!(
            error.contains(
                "opt_outs:read, opt_outs:write, bounces:write, financings:read, offers:write, \
                 links:write, contacts:write"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_scope_of_a_newer_version_permits_nothing() {
        let caller = Caller { key_id: "key_1".to_owned(), scopes: vec!["offers:read".to_owned()] };
        assert!(Scope::ALL.into_iter().all(|scope| !caller.has(scope)));
    }
}
