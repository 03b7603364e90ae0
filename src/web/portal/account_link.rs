//! `/capital/apply` and `/capital/report`: on to Stripe, by an Account Link that is made for this one visit.
//!
//! A link opens once, and lets in whoever has it. So it is made when the merchant comes, handed on in the redirect, and neither kept,
//! logged nor cached. Stripe sends a merchant whose link was too late back to the same address, which makes another.
//!
//! The address is a plain link, so any site can send a visitor's browser here, and spend a link of the account with each visit. A browser
//! says so (`Sec-Fetch-Site`): then it gets the section instead. Stripe comes from another site too, so the address that it sends the
//! merchant back to has the mark of the session, which no other site knows.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::response::Notice;
use super::tenant::{Tenant, TenantQuery};
use super::{LINES, Shared, Visitor};
use crate::clock::Clock;
use crate::http::rate::Rate;
use crate::stripe::LinkTo;

/// Each link is a call to Stripe, whose limit all share: letters and marks as well. A person who clicks, comes back and clicks again stays
/// below this; a script, or a page that reloads itself, has a fiftieth of what `stripe.requests_per_second` allows.
const LINKS_EVERY: Duration = Duration::from_secs(2);
/// Somebody impatient on a slow line, in two tabs.
const LINKS_AT_ONCE: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// How often links of one account are made, for its visitors or for the platform's own page. To be shared by all who make some in a process.
pub fn rate_of_links(clock: Clock) -> Rate {
    Rate::one_in(LINKS_EVERY, LINKS_AT_ONCE, clock)
}

pub(super) async fn apply(
    State(shared): State<Shared>,
    TenantQuery(words): TenantQuery<Tenant>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    shared.go(&words, &method, &headers, LinkTo::Application).await
}

pub(super) async fn report(
    State(shared): State<Shared>,
    TenantQuery(words): TenantQuery<Tenant>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    shared.go(&words, &method, &headers, LinkTo::Reporting).await
}

/// Whoever only asks whether the address is there, and a browser that looks ahead, would use a link up. Browsers say so in the header of
/// the Fetch standard, or in one of those that came before it.
fn is_only_a_look(method: &Method, headers: &HeaderMap) -> bool {
    const SAYS_SO: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];
    let mut purposes = SAYS_SO.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    method == Method::HEAD || purposes.any(|purpose| purpose.contains("prefetch"))
}

fn comes_from_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

impl Shared {
    async fn go(
        &self,
        words: &Tenant,
        method: &Method,
        headers: &HeaderMap,
        to: LinkTo,
    ) -> Response {
        if is_only_a_look(method, headers) {
            return StatusCode::NO_CONTENT.into_response();
        }
        let visitor = match self.visitor(headers, words.whose.as_deref()).await {
            Ok(visitor) => visitor,
            Err(away) => return self.turn(away),
        };
        let (portal, pages) = (&self.0.0, &self.0.1);
        if comes_from_another_site(headers) && words.refresh.as_ref() != Some(&visitor.refresh_mark)
        {
            let section = portal.settings.path_for(&visitor.account, "/capital");
            return (StatusCode::SEE_OTHER, [(header::LOCATION, section)]).into_response();
        }
        match portal.links.count(visitor.account.as_str()) {
            Ok(()) => self.on_to(&visitor, to).await,
            Err(seconds) => {
                LINES.write("links", |suppressed| {
                    tracing::warn!(log.suppressed = suppressed, account.id = %visitor.account,
                        "a merchant wants more links to Stripe than a person needs");
                });
                pages.notice(Notice::TooOften(seconds), visitor.language)
            }
        }
    }

    async fn on_to(&self, visitor: &Visitor, to: LinkTo) -> Response {
        let Visitor { account, language, refresh_mark } = visitor;
        let (portal, pages) = (&self.0.0, &self.0.1);
        let settings = &portal.settings;
        let here = match to {
            LinkTo::Application => "/capital/apply",
            LinkTo::Reporting => "/capital/report",
        };
        let refresh = settings.refresh_url.clone().unwrap_or_else(|| {
            let mut url = settings.url_for(account, here);
            url.query_pairs_mut().append_pair("refresh", refresh_mark);
            url
        });
        let back =
            settings.return_url.clone().unwrap_or_else(|| settings.url_for(account, "/capital"));
        let stripe = &portal.financings.stripe;
        match stripe.account_link(account, to, &refresh, &back).await {
            Ok(link) => {
                tracing::info!(account.id = %account, link = to.as_str(), "sent a merchant on to Stripe");
                let Ok(url) = HeaderValue::from_str(link.url.as_str()) else {
                    return pages.notice(Notice::NotNow, *language);
                };
                (StatusCode::SEE_OTHER, [(header::LOCATION, url)]).into_response()
            }
            Err(error) => {
                tracing::warn!(account.id = %account, link = to.as_str(), %error, "Stripe makes no link");
                let notice = if error.is_refusal() { Notice::NothingThere } else { Notice::NotNow };
                pages.notice(notice, *language)
            }
        }
    }
}
