//! The table of routes below `/api/v1`: the scope that each requires and the errors that it can
//! return. The OpenAPI document (`openapi`) is generated from this table, so the two cannot differ.

use std::borrow::Cow;
use std::future::ready;

use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::{Extension, Router};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::Refusal::{
    BadAccount, BadAddress, BadUrl, BodyTooLarge, BodyTooSlow, LinkRefused, NoDisclaimer, NotFound,
    NothingToPromote, OfferEnded, SessionRefused, Stripe, TooManyDays,
};
use super::Scope::{
    ContactsWrite, FinancingsRead, LinksWrite, OffersWrite, OptOutsRead, OptOutsWrite,
};
use super::openapi::{self, OpenApiJson};
use super::{Guard, Platform, Refusal, Scope, StripeUnavailable, authenticate};
use super::{
    contact, copy, delivered, links, offers, opt_outs, report, sessions, summary, transactions,
};
use crate::financing::report::BadDays;

/// Errors of handlers that call Stripe.
const STRIPE_ERRORS: [Refusal; 2] =
    [Stripe(StripeUnavailable::Down), Stripe(StripeUnavailable::Unexpected)];
/// Errors of handlers that read a body.
const BODY_ERRORS: [Refusal; 3] = [MALFORMED_BODY, BodyTooLarge, BodyTooSlow];
/// Errors of reports besides those of Stripe.
const REPORT_ERRORS: [Refusal; 5] = [BadAccount, BAD_QUERY, BAD_PERIOD, TooManyDays, NotFound];
/// Examples, for the OpenAPI document.
const BAD_QUERY: Refusal =
    Refusal::BadQuery(Cow::Borrowed("unknown field `lmit`, expected `limit` or `cursor`"));
const BAD_PERIOD: Refusal = Refusal::BadPeriod(BadDays::Backwards);
const MALFORMED_BODY: Refusal =
    Refusal::MalformedBody(Cow::Borrowed("EOF while parsing an object at line 1 column 9"));

/// The routes below `/api/v1`, with their OpenAPI document.
pub fn router(platform: Platform) -> Router {
    let (router, document) =
        RouteTable { platform: &platform, router: OpenApiRouter::with_openapi(openapi::base()) }
            .add(OptOutsRead, &[&[BAD_QUERY]], routes!(opt_outs::list))
            .add(OptOutsRead, &[&[BadAccount]], routes!(opt_outs::show))
            .add(OptOutsWrite, &[&[BadAccount], &BODY_ERRORS], routes!(opt_outs::create))
            .add(OptOutsWrite, &[&[BadAccount]], routes!(opt_outs::end))
            .add(FinancingsRead, &[&[BadAccount, BAD_QUERY], &STRIPE_ERRORS], routes!(offers::list))
            .add(FinancingsRead, &[&[BadAccount, BAD_QUERY, NotFound]], routes!(offers::timeline))
            .add(
                FinancingsRead,
                &[
                    &[BadAccount, BAD_QUERY, NotFound, NothingToPromote, NoDisclaimer],
                    &STRIPE_ERRORS,
                ],
                routes!(copy::show),
            )
            .add(FinancingsRead, &[&[BadAccount, NotFound], &STRIPE_ERRORS], routes!(summary::show))
            .add(
                FinancingsRead,
                &[&[BadAccount, BAD_QUERY, BAD_PERIOD]],
                routes!(transactions::list),
            )
            .add(
                FinancingsRead,
                &[&[BadAccount, NotFound], &STRIPE_ERRORS],
                routes!(transactions::origin),
            )
            .add(FinancingsRead, &[&REPORT_ERRORS, &STRIPE_ERRORS], routes!(report::show))
            .add(FinancingsRead, &[&REPORT_ERRORS, &STRIPE_ERRORS], routes!(report::download))
            .add(
                LinksWrite,
                &[&[BadAccount, BadUrl, NotFound, LinkRefused], &BODY_ERRORS, &STRIPE_ERRORS],
                routes!(links::create),
            )
            .add(
                LinksWrite,
                &[&[BadAccount, NotFound, SessionRefused], &BODY_ERRORS, &STRIPE_ERRORS],
                routes!(sessions::create),
            )
            .add(
                OffersWrite,
                &[&[BadAccount, NotFound, OfferEnded], &BODY_ERRORS, &STRIPE_ERRORS],
                routes!(delivered::report),
            )
            .add(ContactsWrite, &[&[BadAccount]], routes!(contact::show, contact::delete))
            .add(ContactsWrite, &[&[BadAccount, BadAddress], &BODY_ERRORS], routes!(contact::put))
            .router
            .routes(routes!(openapi::show))
            .split_for_parts();
    let document = serde_json::to_vec(&document)
        .expect("an OpenAPI document has string keys and finite numbers");
    router
        .method_not_allowed_fallback(|| ready(Refusal::MethodNotAllowed))
        .layer(Extension(OpenApiJson(document.into())))
        .layer(map_response(forbid_caching))
        .with_state(platform)
}

/// Responses contain amounts or email addresses, so no cache may store them.
async fn forbid_caching(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The routes registered so far.
struct RouteTable<'a> {
    platform: &'a Platform,
    router: OpenApiRouter<Platform>,
}

impl RouteTable<'_> {
    /// Registers routes that require a key with this scope. `refusals` are their errors besides
    /// those that every route has.
    fn add(
        self,
        scope: Scope,
        refusals: &[&[Refusal]],
        routes: UtoipaMethodRouter<Platform>,
    ) -> Self {
        let (schemas, mut paths, methods) = routes;
        openapi::annotate(&mut paths, scope, refusals);
        // One limiter for all routes: the limit counts the requests of a key, not of a route.
        let guard = Guard::new(self.platform.api.clone(), scope)
            .with_rate_limit(self.platform.rate.clone());
        // The guard wraps the methods only: an unknown method is 405 even without a key.
        let methods = methods.route_layer(from_fn_with_state(guard, authenticate));
        Self { router: self.router.routes((schemas, paths, methods)), ..self }
    }
}
