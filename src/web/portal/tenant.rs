//! The section's own addresses: how a browser writes them, which account one is about, and what stands behind their `?`.
//!
//! A person can have two shops. The cookie is the browser's, so it is of the shop that signed in last, while a tab may still show the other.
//! So each link names its account by a short tag (`for`), and an address that is about another account than the session's opens nothing.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use url::Url;

use super::response::{Notice, liked_language};
use super::{Settings, Shared, TurnedAway};
use crate::format::locale::Language;
use crate::stripe::AccountId;

/// The word behind the `?` that says whose page it is.
const FOR: &str = "for";
/// Enough to tell a person's shops apart. It guards nothing: the session does.
const TAG_BYTES: usize = 6;

/// The words behind the `?` of an address. One that is there twice gets a notice: nobody can say which is meant.
pub(super) struct TenantQuery<T>(pub(super) T);

/// The words of an address that leads on to Stripe.
#[derive(Deserialize)]
pub(super) struct Tenant {
    #[serde(rename = "for")]
    pub(super) whose: Option<String>,
    /// The mark of the session, where Stripe sends the visitor back.
    pub(super) refresh: Option<String>,
}

/// What an account is called in an address.
pub(super) fn tag(account: &AccountId) -> String {
    let hash = Sha256::digest(account.as_str().as_bytes());
    hex::encode(&hash[..TAG_BYTES])
}

impl Settings {
    /// A path of ours as the browser sees it: below the path of the service's own address.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.path().trim_end_matches('/'))
    }

    /// The same for the pages of an account. More words can follow after a `&`.
    pub(super) fn path_for(&self, account: &AccountId, path: &str) -> String {
        format!("{}?{FOR}={}", self.path(path), tag(account))
    }

    /// The same for those who are elsewhere.
    pub(super) fn url_for(&self, account: &AccountId, path: &str) -> Url {
        let mut url = self.public_url.clone();
        url.set_path(&self.path(path));
        url.set_query(Some(&format!("{FOR}={}", tag(account))));
        url
    }
}

impl<T: DeserializeOwned> FromRequestParts<Shared> for TenantQuery<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let words = Query::try_from_uri(&parts.uri);
        words.map(|Query(words)| Self(words)).map_err(|_| {
            let language = liked_language(&parts.headers).unwrap_or(Language::English);
            shared.turn(TurnedAway { notice: Notice::Unclear, language })
        })
    }
}
