//! `/capital/apply` and `/capital/report`: on to Stripe, by an Account Link that is made for this one visit.
//!
//! A link opens once, and lets in whoever has it. So it is made when the merchant comes, handed on in the redirect, and neither kept,
//! logged nor cached. Stripe sends a merchant whose link was too late back to the same address, which makes another.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::Notice;
use super::{Shared, Visitor};
use crate::stripe::LinkTo;

pub(super) async fn apply(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    go(&shared, &headers, LinkTo::Application).await
}

pub(super) async fn report(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    go(&shared, &headers, LinkTo::Reporting).await
}

async fn go(shared: &Shared, headers: &HeaderMap, to: LinkTo) -> Response {
    // A browser that looks ahead would use the link up.
    let purpose = headers.get("sec-purpose").and_then(|purpose| purpose.to_str().ok()).unwrap_or_default();
    if purpose.contains("prefetch") {
        return StatusCode::NO_CONTENT.into_response();
    }
    match shared.visitor(headers).await {
        Ok(visitor) => shared.on_to(&visitor, to).await,
        Err(away) => shared.turn(away),
    }
}

impl Shared {
    async fn on_to(&self, visitor: &Visitor, to: LinkTo) -> Response {
        let Visitor { account, language } = visitor;
        let (portal, pages) = (&self.0.0, &self.0.1);
        let settings = &portal.settings;
        let here = match to {
            LinkTo::Application => settings.url("/capital/apply"),
            LinkTo::Reporting => settings.url("/capital/report"),
        };
        let refresh = settings.refresh_url.clone().unwrap_or(here);
        let back = settings.return_url.clone().unwrap_or_else(|| settings.url("/capital"));
        let stripe = &portal.financings.stripe;
        match stripe.account_link(account, to, &refresh, &back).await {
            Ok(link) => {
                tracing::info!(account.id = %account, link = to.as_str(), "sent a merchant on to Stripe");
                let Ok(url) = HeaderValue::from_str(link.url.as_str()) else {
                    return pages.notice(Notice::NotNow, *language);
                };
                let headers = [
                    (header::LOCATION, url),
                    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
                ];
                (StatusCode::SEE_OTHER, headers).into_response()
            }
            Err(error) => {
                tracing::warn!(account.id = %account, link = to.as_str(), %error, "Stripe makes no link");
                let notice = if error.is_refusal() { Notice::NothingThere } else { Notice::NotNow };
                pages.notice(notice, *language)
            }
        }
    }
}
