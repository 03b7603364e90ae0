//! The keys of programs that call us: made by the command `api-key`, shown once, kept as a hash.

pub mod store;

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::database::Pool;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub enum Scope {
    /// See who wants no letters.
    #[strum(serialize = "opt_outs:read")]
    OptOutsRead,
    /// Say that an account wants no letters, and that it may have them again.
    #[strum(serialize = "opt_outs:write")]
    OptOutsWrite,
    /// Report that letters came back, or were called spam.
    #[strum(serialize = "bounces:write")]
    BouncesWrite,
    /// See offers, what became of them, and what they add up to.
    #[strum(serialize = "financings:read")]
    FinancingsRead,
    /// Make links that let a merchant into what Stripe shows.
    #[strum(serialize = "links:write")]
    LinksWrite,
    /// See and say to which address an account's letters go.
    #[strum(serialize = "contacts:write")]
    ContactsWrite,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OptOutsRead,
        Self::OptOutsWrite,
        Self::BouncesWrite,
        Self::FinancingsRead,
        Self::LinksWrite,
        Self::ContactsWrite,
    ];

    /// As in `api_keys.scopes`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// There is no such scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such scope; there are {}", Scope::ALL.map(Scope::as_str).join(", "))]
pub struct NoSuchScope;

impl FromStr for Scope {
    type Err = NoSuchScope;

    fn from_str(given: &str) -> Result<Self, NoSuchScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == given).ok_or(NoSuchScope)
    }
}

/// Sets a secret of ours apart from others, for people and for programs that look for secrets where none should be.
const PREFIX: &str = "courier_";
/// Nobody guesses so many bytes, so a plain hash of them gives nothing away.
const SECRET_BYTES: usize = 32;
/// Whoever asks when a key was last used wants to know whether it is in use at all.
const USE_NOTED_EVERY: TimeDelta = TimeDelta::hours(1);

/// A key that was just made. Its secret is nowhere else.
#[derive(Debug)]
pub struct NewKey {
    /// `key_…`
    pub key_id: String,
    /// What the program presents.
    pub secret: SecretString,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `key_…`
    pub key_id: String,
    scopes: Vec<String>,
}

impl Caller {
    /// Whether the key has this scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|word| word == scope.as_str())
    }
}

/// Makes a key.
pub async fn create(
    db: &Pool,
    name: &str,
    scopes: &[Scope],
    now: DateTime<Utc>,
) -> sqlx::Result<NewKey> {
    let key_id = format!("key_{}", Uuid::now_v7().simple());
    let bytes: [u8; SECRET_BYTES] = rand::random();
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let words: Vec<String> = scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let key = store::Key { key_id: &key_id, name, scopes: &words, secret_sha256: &hash(&secret) };
    store::add(db, &key, now).await?;
    Ok(NewKey { key_id, secret: secret.into() })
}

/// The caller who has this secret; none where it is not that of a key which holds. Looked up by its hash, so how long it takes tells
/// nothing about the secrets that there are.
pub async fn find(
    db: &Pool,
    secret: &SecretString,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Caller>> {
    let secret = secret.expose_secret();
    if !secret.starts_with(PREFIX) {
        return Ok(None);
    }
    let Some(found) = store::find(db, &hash(secret)).await? else { return Ok(None) };
    if found.last_used_at.is_none_or(|at| now - at >= USE_NOTED_EVERY) {
        store::note_use(db, &found.key_id, now).await?;
    }
    Ok(Some(Caller { key_id: found.key_id, scopes: found.scopes }))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_read_as_it_is_written_and_no_other_is() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        let told = "everything".parse::<Scope>().unwrap_err().to_string();
        assert!(
            told.contains(
                "opt_outs:read, opt_outs:write, bounces:write, financings:read, links:write, contacts:write"
            ),
            "{told}"
        );
    }

    #[test]
    fn a_scope_that_this_binary_does_not_know_allows_nothing() {
        let caller = Caller { key_id: "key_1".to_owned(), scopes: vec!["offers:read".to_owned()] };
        assert!(Scope::ALL.into_iter().all(|scope| !caller.may(scope)));
    }
}
