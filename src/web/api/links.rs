//! `POST /api/v1/accounts/{account}/links`: a fresh Account Link, which lets a merchant into
//! Stripe's pages.
//!
//! The link admits its holder once, for some minutes. So every call creates a new one, it appears
//! only in the response, and it belongs in a redirect of a page that has authenticated its visitor,
//! never in an email (<https://docs.stripe.com/capital/api-integration>).

use axum::Json;
use axum::extract::{Extension, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::keys::Caller;
use super::request::{AccountParams, AccountPath};
use super::{Platform, Refusal};
use crate::http::is_loopback;
use crate::stripe::{self, AccountLink, LinkTo};

/// A new link.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLink {
    #[schema(inline)]
    r#type: LinkType,
    /// Where Stripe sends a merchant whose link is used or expired: a page that creates a new one.
    /// Defaults to `capital.refresh_url`.
    #[schema(example = "https://rocket.example/capital")]
    refresh_url: Option<Url>,
    /// Where Stripe sends a merchant who is done. Defaults to `capital.return_url`.
    #[schema(example = "https://rocket.example/capital")]
    return_url: Option<Url>,
}

/// `application`: apply for the open offer. `reporting`: the application's status, the financing,
/// its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LinkType {
    Application,
    Reporting,
}

impl From<LinkType> for LinkTo {
    fn from(kind: LinkType) -> Self {
        match kind {
            LinkType::Application => Self::Application,
            LinkType::Reporting => Self::Reporting,
        }
    }
}

/// A fresh link. It is a secret: redirect to it and do not store it.
#[derive(Serialize, ToSchema)]
pub(super) struct Link {
    /// Works once.
    #[schema(example = "https://connect.stripe.com/setup/c/acct_1Q2w3E4r5T6y7U8i/abc")]
    url: Url,
    /// When it expires.
    expires_at: Option<DateTime<Utc>>,
    #[schema(inline)]
    r#type: LinkType,
}

/// Create an Account Link
///
/// Every call creates a new link, which works once, for some minutes, and admits anyone who has it.
/// Create it when the merchant clicks, and redirect; never send it by email.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{account}/links",
    operation_id = "makeLink",
    params(AccountParams),
    request_body = NewLink,
    responses((status = 200, body = Link, description = "The link")),
)]
pub(super) async fn create(
    State(platform): State<Platform>,
    Extension(caller): Extension<Caller>,
    AccountPath(account): AccountPath,
    request: Request,
) -> Result<Json<Link>, Refusal> {
    let new: NewLink = platform.api.read_json(request).await?;
    let refresh_url = new.refresh_url.unwrap_or_else(|| platform.settings.refresh_url.clone());
    let return_url = new.return_url.unwrap_or_else(|| platform.settings.return_url.clone());
    if !is_valid_return_url(&refresh_url) || !is_valid_return_url(&return_url) {
        return Err(Refusal::BadUrl);
    }
    // Per account, shared with the Capital section: each link is a call to Stripe.
    platform.links.count(account.as_str()).map_err(Refusal::RateLimited)?;
    let stripe = &platform.financings.stripe;
    match stripe.account_link(&account, new.r#type.into(), &refresh_url, &return_url).await {
        Ok(AccountLink { url, expires_at }) => {
            tracing::info!(
                account.id = %account,
                key.id = caller.key_id,
                link.type = ?new.r#type,
                "created an Account Link"
            );
            Ok(Json(Link { url, expires_at, r#type: new.r#type }))
        }
        Err(error) => {
            tracing::warn!(account.id = %account, %error, "cannot create an Account Link");
            Err(refusal(&error))
        }
    }
}

/// Stripe does not document the error for an account without an offer or a financing. Our
/// parameters are valid, so a 400 that concerns them means that.
fn refusal(error: &stripe::Error) -> Refusal {
    if matches!(error, stripe::Error::Refused { status: 400, .. }) && !error.is_missing() {
        Refusal::LinkRefused
    } else {
        Refusal::from_stripe(error)
    }
}

/// Whether Stripe may send a merchant to a URL: over TLS, or to the developer's own machine.
pub fn is_valid_return_url(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_url_is_https_or_on_the_loopback_interface() {
        for (url, is_valid) in [
            ("https://rocket.example/capital?x=1", true),
            ("http://localhost:3000/", true),
            ("http://127.0.0.1/", true),
            ("http://[::1]:8080/", true),
            ("http://rocket.example/", false),
            ("http://localhost.rocket.example/", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("ftp://rocket.example/", false),
        ] {
            assert_eq!(is_valid_return_url(&url.parse().unwrap()), is_valid, "{url}");
        }
    }
}
