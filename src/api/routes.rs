//! Every address under `/api/v1`, each behind the scope that it needs. The description (`openapi`) is made from this table.

use std::future::ready;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::{Guard, Platform, Refusal, Scope, admit};
use super::{contact, links, offers, opt_outs, report, summary, transactions};

/// The addresses under `/api/v1`.
pub fn router(platform: Platform) -> Router {
    let (router, _) = described(&platform);
    router.with_state(platform)
}

/// The addresses, and their description.
fn described(platform: &Platform) -> (Router<Platform>, OpenApi) {
    let table = Table { platform, router: OpenApiRouter::new() };
    let (router, description) = table
        .behind(Scope::OptOutsRead, routes!(opt_outs::list))
        .behind(Scope::OptOutsRead, routes!(opt_outs::show))
        .behind(Scope::OptOutsWrite, routes!(opt_outs::begin, opt_outs::end))
        .behind(Scope::FinancingsRead, routes!(offers::list))
        .behind(Scope::FinancingsRead, routes!(offers::timeline))
        .behind(Scope::FinancingsRead, routes!(summary::show))
        .behind(Scope::FinancingsRead, routes!(transactions::list))
        .behind(Scope::FinancingsRead, routes!(transactions::origin))
        .behind(Scope::FinancingsRead, routes!(report::show))
        .behind(Scope::FinancingsRead, routes!(report::download))
        .behind(Scope::LinksWrite, routes!(links::make))
        .behind(Scope::ContactsWrite, routes!(contact::show, contact::put, contact::forget))
        .router
        .split_for_parts();
    let router = router
        .method_not_allowed_fallback(|| ready(Refusal::MethodNotAllowed))
        .layer(axum::middleware::map_response(never_stored));
    (router, description)
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
    /// Registers addresses that need a key with this scope.
    fn behind(self, scope: Scope, routes: UtoipaMethodRouter<Platform>) -> Self {
        let guard = Guard::new(self.platform.api.clone(), scope).at(self.platform.rate.clone());
        let guard = from_fn_with_state(guard, admit);
        let (schemas, paths, methods) = routes;
        let router = self.router.routes((schemas, paths, methods.route_layer(guard)));
        Self { router, ..self }
    }
}
