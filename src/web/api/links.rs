//! `POST /api/v1/accounts/{account}/links`: a fresh Account Link, a merchant's way into what Stripe shows.
//!
//! Whoever has the link is let in, once and for some minutes. So it is made at each call, is in the answer and nowhere else, and belongs
//! in a redirect of a page that knows its visitor: never in an email (<https://docs.stripe.com/capital/api-integration>).

use axum::Json;
use axum::extract::{Extension, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::account::{Account, OfAccount};
use super::keys::Caller;
use super::query;
use super::{Platform, Refusal};
use crate::http::is_loopback;
use crate::stripe::{self, AccountLink, LinkTo};

/// What a link is to lead to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLink {
    #[schema(inline)]
    r#type: LinkType,
    /// Where a merchant goes whose link is used up or too old: a page that makes a new one. `capital.refresh_url`, where it is left out.
    #[schema(example = "https://rocket.example/capital")]
    refresh_url: Option<Url>,
    /// Where a merchant goes who is done. `capital.return_url`, where it is left out.
    #[schema(example = "https://rocket.example/capital")]
    return_url: Option<Url>,
}

/// `application`: for the offer that is open. `reporting`: the application's tracker, the financing, its history.
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

/// A fresh link. A secret: redirect to it, and do not keep it.
#[derive(Serialize, ToSchema)]
pub(super) struct Link {
    /// Where it leads, once.
    #[schema(example = "https://connect.stripe.com/setup/c/acct_1Q2w3E4r5T6y7U8i/abc")]
    url: Url,
    /// Until when it works.
    expires_at: Option<DateTime<Utc>>,
    #[schema(inline)]
    r#type: LinkType,
}

/// Make a link into what Stripe shows
///
/// Another one at each call; it opens once, for some minutes, and lets in whoever has it. Make it when the merchant clicks, and redirect;
/// never send it by email.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{account}/links",
    operation_id = "makeLink",
    params(OfAccount),
    request_body = NewLink,
    responses((status = 200, body = Link, description = "The link")),
)]
pub(super) async fn make(
    State(platform): State<Platform>,
    Extension(caller): Extension<Caller>,
    Account(account): Account,
    request: Request,
) -> Result<Json<Link>, Refusal> {
    let wanted: NewLink = query::read_json(&platform.api, request).await?;
    let refresh_url = wanted.refresh_url.unwrap_or_else(|| platform.settings.refresh_url.clone());
    let return_url = wanted.return_url.unwrap_or_else(|| platform.settings.return_url.clone());
    if !is_fit_to_come_back_to(&refresh_url) || !is_fit_to_come_back_to(&return_url) {
        return Err(Refusal::BadUrl);
    }
    platform.links.count(account.as_str()).map_err(Refusal::RateLimited)?;
    let stripe = &platform.financings.stripe;
    match stripe.account_link(&account, wanted.r#type.into(), &refresh_url, &return_url).await {
        Ok(AccountLink { url, expires_at }) => {
            tracing::info!(account.id = %account, key.id = caller.key_id, link.type = ?wanted.r#type, "made a link");
            Ok(Json(Link { url, expires_at, r#type: wanted.r#type }))
        }
        Err(error) => {
            tracing::warn!(account.id = %account, %error, "cannot make a link");
            Err(refusal(&error))
        }
    }
}

/// Stripe does not document how it says that there is nothing to link to; our parameters are right, so a 400 about them is that.
fn refusal(error: &stripe::Error) -> Refusal {
    match error {
        stripe::Error::Refused { status: 400, .. } if !error.is_missing() => Refusal::LinkRefused,
        stripe::Error::Refused { .. }
        | stripe::Error::NotYet(_)
        | stripe::Error::NoAnswer(_)
        | stripe::Error::NotStripe { .. }
        | stripe::Error::Unreadable { .. } => Refusal::by_stripe(error),
    }
}

/// Whether a merchant may be sent to an address: over TLS, or to the developer's own machine.
pub fn is_fit_to_come_back_to(url: &Url) -> bool {
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
    fn a_merchant_is_sent_over_tls_or_to_this_machine() {
        for (url, fit) in [
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
            assert_eq!(is_fit_to_come_back_to(&url.parse().unwrap()), fit, "{url}");
        }
    }
}
