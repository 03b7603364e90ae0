//! The section's URLs: how they are built, which account a URL is about, and its query.
//!
//! A person can have two accounts. The session cookie belongs to the browser, so it is that of the
//! account that signed in last, while an open tab may show the other. So every link names its
//! account by a short tag (`for`), and a URL of another account than the session's is not served.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::response::{Notice, Presentation, browser_language};
use super::{PortalState, Settings};
use crate::stripe::AccountId;

/// The query parameter with the account's tag.
const FOR: &str = "for";
/// Enough to distinguish one person's accounts. The tag protects nothing: the session does.
const TAG_BYTES: usize = 6;

/// The query parameters of all pages. A repeated one is ambiguous and is answered with a notice.
#[derive(Deserialize)]
pub(super) struct PortalQuery {
    /// The tag of the account that the URL is about.
    #[serde(rename = "for")]
    pub(super) account_tag: Option<String>,
    /// A sign-in token of the dashboard.
    pub(super) token: Option<String>,
    /// `1`: the page is in a frame of the dashboard.
    pub(super) embed: Option<String>,
    /// Of a list of transactions, a cursor; of a list of weeks, a day: show what is older.
    pub(super) before: Option<String>,
    /// The Monday of the week whose transactions to list, as `2026-11-23`.
    pub(super) week: Option<String>,
    /// `other`: list everything but sales.
    pub(super) show: Option<String>,
    /// The period of the statement: a month, as `2026-11`, or a year, as `2026`. The last month
    /// with transactions if absent or invalid.
    pub(super) period: Option<String>,
    /// An older name of `period`.
    pub(super) month: Option<String>,
    /// The financing of the statement; all if absent or unknown.
    pub(super) financing: Option<String>,
    /// The session's refresh mark, when Stripe sends the merchant back.
    pub(super) refresh: Option<String>,
}

/// The account's tag in URLs.
pub(super) fn tag(account: &AccountId) -> String {
    let hash = Sha256::digest(account.as_str().as_bytes());
    hex::encode(&hash[..TAG_BYTES])
}

impl Settings {
    /// A path as the browser sees it: below the path of the service's base URL.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.path().trim_end_matches('/'))
    }

    /// The same for a page of an account. Further parameters can follow after `&`.
    pub(super) fn path_for(&self, account: &AccountId, path: &str, is_embedded: bool) -> String {
        let embed = if is_embedded { "&embed=1" } else { "" };
        format!("{}?{FOR}={}{embed}", self.path(path), tag(account))
    }

    /// Whether the request is for a page in a frame. Without allowed ancestors there is none.
    pub(super) fn is_embedded(&self, query: &PortalQuery) -> bool {
        query.embed.as_deref() == Some("1") && !self.frame_ancestors.is_empty()
    }

    /// The absolute URL of a page of an account.
    pub(super) fn url_for(&self, account: &AccountId, path: &str) -> Url {
        let mut url = self.public_url.clone();
        url.set_path(&self.path(path));
        url.set_query(Some(&format!("{FOR}={}", tag(account))));
        url
    }
}

impl FromRequestParts<PortalState> for PortalQuery {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &PortalState) -> Result<Self, Response> {
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(query)| query).map_err(|_| {
            let language = browser_language(&parts.headers);
            state.pages.notice(Notice::Unclear, Presentation { language, is_embedded: false })
        })
    }
}
