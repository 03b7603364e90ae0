//! `/capital/apply` and `/capital/report`: redirect to Stripe by an Account Link created for this
//! request.
//!
//! A link works once and admits its holder. So it is created when the merchant clicks, appears only
//! in the redirect, and is neither stored, logged nor cached. Stripe sends a merchant whose link
//! has expired back to the same URL, which creates another.
//!
//! The URL is a plain link, so any site could send a visitor's browser here and use up the
//! account's links. The browser reports this (`Sec-Fetch-Site`); such a request is redirected to
//! the section. Stripe is another site too, so the URL for returning from Stripe carries the
//! refresh mark of the session, which no other site knows.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use minijinja::context;
use url::Url;

use super::response::Notice;
use super::tenant::PortalQuery;
use super::{LIMITED, PortalState, Viewer};
use crate::clock::Clock;
use crate::http::rate::Rate;
use crate::stripe::LinkTo;

/// Every link is a call to Stripe, whose rate limit letters and marks share. A person who clicks,
/// returns and clicks again stays below this; a script or a page that reloads itself gets a
/// fiftieth of the default `stripe.requests_per_second`.
const LINK_INTERVAL: Duration = Duration::from_secs(2);
/// Enough for an impatient person on a slow connection, in two tabs.
const LINK_BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// The rate limit per account for Account Links. A process needs exactly one, shared by the section
/// and the API.
pub fn account_link_rate(clock: Clock) -> Rate {
    Rate::one_in(LINK_INTERVAL, LINK_BURST, clock)
}

pub(super) async fn apply(
    State(state): State<PortalState>,
    query: PortalQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    state.redirect(&query, &method, &headers, LinkTo::Application).await
}

pub(super) async fn report(
    State(state): State<PortalState>,
    query: PortalQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    state.redirect(&query, &method, &headers, LinkTo::Reporting).await
}

/// Whether the request is a probe or a prefetch, which must not use up a link and shows no page to a
/// person. Browsers mark a prefetch in the header of the Fetch standard or in one of its
/// predecessors.
pub(super) fn is_prefetch(method: &Method, headers: &HeaderMap) -> bool {
    const PURPOSE_HEADERS: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];
    let mut purposes = PURPOSE_HEADERS.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    method == Method::HEAD || purposes.any(|purpose| purpose.contains("prefetch"))
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

impl PortalState {
    async fn redirect(
        &self,
        query: &PortalQuery,
        method: &Method,
        headers: &HeaderMap,
        to: LinkTo,
    ) -> Response {
        if is_prefetch(method, headers) {
            return StatusCode::NO_CONTENT.into_response();
        }
        let viewer = match self.viewer(headers, query).await {
            Ok(viewer) => viewer,
            Err(error) => return self.error_page(error),
        };
        let (portal, pages) = (&self.portal, &self.pages);
        if is_cross_site(headers) && query.refresh.as_ref() != Some(&viewer.refresh_mark) {
            let section =
                portal.settings.path_for(&viewer.account, "/capital", viewer.is_embedded());
            return (StatusCode::SEE_OTHER, [(header::LOCATION, section)]).into_response();
        }
        match portal.links.count(viewer.account.as_str()) {
            Ok(()) => self.redirect_to_stripe(&viewer, to).await,
            Err(seconds) => {
                LIMITED.write("links", |suppressed| {
                    tracing::warn!(log.suppressed = suppressed, account.id = %viewer.account,
                        "a merchant requested more Account Links than a person needs");
                });
                pages.notice(Notice::TooOften(seconds), viewer.presentation)
            }
        }
    }

    async fn redirect_to_stripe(&self, viewer: &Viewer, to: LinkTo) -> Response {
        let Viewer { account, presentation, .. } = viewer;
        let (portal, pages) = (&self.portal, &self.pages);
        let (refresh, back) = self.return_urls(viewer, to);
        let stripe = &portal.financings.stripe;
        match stripe.account_link(account, to, &refresh, &back).await {
            Ok(link) => {
                tracing::info!(
                    account.id = %account,
                    link = to.as_str(),
                    "redirected a merchant to Stripe"
                );
                // Stripe's pages refuse to be framed, and a redirect cannot leave a frame.
                if presentation.is_embedded {
                    let page = context! { link => link.url.as_str() };
                    return pages.render("onward.html", *presentation, page);
                }
                let Ok(url) = HeaderValue::from_str(link.url.as_str()) else {
                    return pages.notice(Notice::NotNow, *presentation);
                };
                (StatusCode::SEE_OTHER, [(header::LOCATION, url)]).into_response()
            }
            Err(error) => {
                tracing::warn!(
                    account.id = %account,
                    link = to.as_str(),
                    %error,
                    "cannot create an Account Link"
                );
                // Stripe refuses if there is nothing to apply for or to report on.
                let notice = if error.is_refusal() { Notice::NothingThere } else { Notice::NotNow };
                pages.notice(notice, *presentation)
            }
        }
    }

    /// Where Stripe sends a merchant whose link has expired, and one who is done. The session of a
    /// frame does not exist outside of it, so from there both lead to the dashboard.
    fn return_urls(&self, viewer: &Viewer, to: LinkTo) -> (Url, Url) {
        let settings = &self.portal.settings;
        let Viewer { account, refresh_mark, .. } = viewer;
        let here = match to {
            LinkTo::Application => "/capital/apply",
            LinkTo::Reporting => "/capital/report",
        };
        let unless_embedded = |url: Url| {
            if viewer.is_embedded() { settings.brand.dashboard_url.clone() } else { url }
        };
        let refresh = settings.refresh_url.clone().unwrap_or_else(|| {
            let mut url = settings.url_for(account, here);
            url.query_pairs_mut().append_pair("refresh", refresh_mark);
            unless_embedded(url)
        });
        let back = settings
            .return_url
            .clone()
            .unwrap_or_else(|| unless_embedded(settings.url_for(account, "/capital")));
        (refresh, back)
    }
}
