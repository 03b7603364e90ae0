//! Every address under `/api/v1`, each behind the scope that it needs, with what it can be refused for. Their description (`openapi`) is
//! made from this table, so an address is in both or in neither.

use std::borrow::Cow;
use std::future::ready;

use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::{Extension, Router};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::Refusal::{
    BadAccount, BadAddress, BadUrl, BodyTooLarge, BodyTooSlow, LinkRefused, NotFound, Stripe,
    TooManyDays,
};
use super::Scope::{ContactsWrite, FinancingsRead, LinksWrite, OptOutsRead, OptOutsWrite};
use super::openapi::{self, Description};
use super::{Guard, Platform, Refusal, Scope, StripeUnavailable, authenticate};
use super::{contact, links, offers, opt_outs, report, summary, transactions};
use crate::financing::report::BadDays;

/// Where Stripe is asked.
const NO_WORD: [Refusal; 2] =
    [Stripe(StripeUnavailable::Down), Stripe(StripeUnavailable::Unexpected)];
/// Where a body is read.
const NO_BODY: [Refusal; 3] = [MALFORMED_BODY, BodyTooLarge, BodyTooSlow];
/// As an example.
const BAD_QUERY: Refusal =
    Refusal::BadQuery(Cow::Borrowed("unknown field `lmit`, expected `limit` or `cursor`"));
const BAD_PERIOD: Refusal = Refusal::BadPeriod(BadDays::Backwards);
const MALFORMED_BODY: Refusal =
    Refusal::MalformedBody(Cow::Borrowed("EOF while parsing an object at line 1 column 9"));

/// The addresses under `/api/v1`, and their description at one of them.
pub fn router(platform: Platform) -> Router {
    let (router, description) =
        Table { platform: &platform, router: OpenApiRouter::with_openapi(openapi::begin()) }
            .behind(OptOutsRead, &[BAD_QUERY], routes!(opt_outs::list))
            .behind(OptOutsRead, &[BadAccount], routes!(opt_outs::show))
            .behind(OptOutsWrite, &[&[BadAccount][..], &NO_BODY].concat(), routes!(opt_outs::begin))
            .behind(OptOutsWrite, &[BadAccount], routes!(opt_outs::end))
            .behind(FinancingsRead, &[BadAccount, BAD_QUERY], routes!(offers::list))
            .behind(FinancingsRead, &[BadAccount, BAD_QUERY, NotFound], routes!(offers::timeline))
            .behind(
                FinancingsRead,
                &[&[BadAccount, NotFound][..], &NO_WORD].concat(),
                routes!(summary::show),
            )
            .behind(
                FinancingsRead,
                &[BadAccount, BAD_QUERY, BAD_PERIOD],
                routes!(transactions::list),
            )
            .behind(
                FinancingsRead,
                &[&[BadAccount, NotFound][..], &NO_WORD].concat(),
                routes!(transactions::origin),
            )
            .behind(FinancingsRead, &reports(), routes!(report::show))
            .behind(FinancingsRead, &reports(), routes!(report::download))
            .behind(
                LinksWrite,
                &[&[BadAccount, BadUrl, NotFound, LinkRefused][..], &NO_BODY, &NO_WORD].concat(),
                routes!(links::make),
            )
            .behind(ContactsWrite, &[BadAccount], routes!(contact::show, contact::forget))
            .behind(
                ContactsWrite,
                &[&[BadAccount, BadAddress][..], &NO_BODY].concat(),
                routes!(contact::put),
            )
            .router
            .routes(routes!(openapi::show))
            .split_for_parts();
    let description = serde_json::to_vec(&description)
        .expect("a description has names for keys, and no number that is none");
    router
        .method_not_allowed_fallback(|| ready(Refusal::MethodNotAllowed))
        .layer(Extension(Description(description.into())))
        .layer(map_response(never_stored))
        .with_state(platform)
}

fn reports() -> Vec<Refusal> {
    [&[BadAccount, BAD_QUERY, BAD_PERIOD, TooManyDays, NotFound][..], &NO_WORD].concat()
}

/// What is asked of us is somebody's money or address: no cache on the way is to keep it.
async fn never_stored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The addresses that are registered so far.
struct Table<'a> {
    platform: &'a Platform,
    router: OpenApiRouter<Platform>,
}

impl Table<'_> {
    /// Registers addresses that need a key with this scope, and can be refused for these reasons besides those of all.
    fn behind(
        self,
        scope: Scope,
        refusals: &[Refusal],
        routes: UtoipaMethodRouter<Platform>,
    ) -> Self {
        let (schemas, mut paths, methods) = routes;
        openapi::say(&mut paths, scope, refusals);
        let guard = Guard::new(self.platform.api.clone(), scope).at(self.platform.rate.clone());
        let methods = methods.route_layer(from_fn_with_state(guard, authenticate));
        Self { router: self.router.routes((schemas, paths, methods)), ..self }
    }
}
