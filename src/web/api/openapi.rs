//! `GET /api/v1/openapi.json`: the routes below `/api/v1` as OpenAPI 3.1, generated from the
//! handlers' own types and from the table of routes, so that the document cannot differ from the
//! code.

use std::collections::BTreeMap;

use axum::Extension;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref,
    ResponseBuilder, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::{Refusal, Scope};
use crate::http::api_error::{ApiError, ErrorBody, ErrorDetail};

const ABOUT: &str = "The API of capital-courier for a platform's own programs: the financing offers \
    of its merchants with their state and totals, Account Links into Stripe's pages, contact \
    overrides and opt-outs.\n\n\
    Amounts are integers in minor units, named `…_minor`, beside their `currency`; amounts in \
    different currencies are never added up. Times are RFC 3339 in UTC. A list has `data` and \
    `next_cursor`, which is null on the last page. Every response has `Cache-Control: no-store`.\n\n\
    Errors have one shape: a stable `error.code` and a message for people. Codes and fields may be \
    added. If a retry makes sense, `Retry-After` gives the seconds to wait. A method that is not \
    described is answered with 405 `method_not_allowed`.";

/// Names of the two security schemes.
const BEARER: &str = "bearer";
const BASIC: &str = "basic";

/// The serialized document, as an extension of the request.
#[derive(Clone, Debug)]
pub(super) struct OpenApiJson(pub(super) Bytes);

/// Describe the API
///
/// Returns this document. Needs no key.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "describeApi",
    tag = "Description",
    security(),
    responses((
        status = 200,
        body = Object,
        content_type = "application/json",
        description = "OpenAPI 3.1",
    )),
)]
pub(super) async fn show(
    Extension(OpenApiJson(json)): Extension<OpenApiJson>,
) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], json)
}

/// The document without routes: metadata, tags, the error schema, authentication.
pub(super) fn base() -> OpenApi {
    let license = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("capital-courier")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license))
        .build();
    let tags = [
        ("Financings", "Offers, transactions, totals and reports"),
        ("Links", "Account Links into Stripe's pages"),
        ("Contacts", "Contact overrides for an account's emails"),
        ("Opt-outs", "Accounts that receive no emails"),
        ("Description", "This document"),
    ];
    let tag = |(name, about)| TagBuilder::new().name(name).description(Some(about)).build();
    let this_server =
        ServerBuilder::new().url("/").description(Some("The server of this document")).build();
    let mut components = Components::new();
    for (name, schema) in
        [(ErrorBody::name(), ErrorBody::schema()), (ErrorDetail::name(), ErrorDetail::schema())]
    {
        components.schemas.insert(name.into_owned(), schema);
    }
    let bearer = "An API key, `courier_…`, made by `capital-courier api-key create`.";
    let basic = "The same key as the password, with any user name.";
    for (name, scheme, about) in
        [(BEARER, HttpAuthScheme::Bearer, bearer), (BASIC, HttpAuthScheme::Basic, basic)]
    {
        let scheme = HttpBuilder::new().scheme(scheme).description(Some(about)).build();
        components.add_security_scheme(name, SecurityScheme::Http(scheme));
    }
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([this_server]))
        .tags(Some(tags.map(tag)))
        .components(Some(components))
        .build()
}

/// Adds the required scope, the authentication and the possible errors to operations.
pub(super) fn annotate(paths: &mut Paths, scope: Scope, refusals: &[&[Refusal]]) {
    let common = [
        Refusal::MissingKey,
        Refusal::BadKey,
        Refusal::MissingScope(scope),
        Refusal::RateLimited(1),
        Refusal::Unavailable,
    ];
    for operation in paths.paths.values_mut().flat_map(operations) {
        let about = operation.description.take().unwrap_or_default();
        let about = format!("{about}\n\nNeeds a key with the scope `{}`.", scope.as_str());
        operation.description = Some(about.trim().to_owned());
        // The tag follows from the scope, so that no handler can be filed under a wrong one.
        operation.tags = Some(vec![tag(scope).to_owned()]);
        operation.security = Some(
            [BEARER, BASIC].map(|name| SecurityRequirement::new(name, [scope.as_str()])).into(),
        );
        let mut by_status: BTreeMap<u16, Vec<ApiError>> = BTreeMap::new();
        for error in
            common.iter().chain(refusals.iter().copied().flatten()).map(Refusal::to_api_error)
        {
            by_status.entry(error.status.as_u16()).or_default().push(error);
        }
        for (status, errors) in by_status {
            let response = response(&errors).build();
            operation.responses.responses.insert(status.to_string(), response.into());
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

fn tag(scope: Scope) -> &'static str {
    match scope {
        Scope::OptOutsRead | Scope::OptOutsWrite => "Opt-outs",
        Scope::FinancingsRead | Scope::OffersWrite => "Financings",
        Scope::LinksWrite => "Links",
        Scope::ContactsWrite => "Contacts",
        Scope::BouncesWrite => "Delivery reports",
    }
}

/// A response that stands for all errors of one status, each with an example under its code.
fn response(errors: &[ApiError]) -> ResponseBuilder {
    let code = |error: &ApiError| error.body.error.code;
    let example = |error: &ApiError| {
        let value = serde_json::json!(error.body);
        (code(error), ExampleBuilder::new().value(Some(value)).build())
    };
    let mut codes: Vec<String> = errors.iter().map(|error| format!("`{}`", code(error))).collect();
    codes.dedup();
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(ErrorBody::name())))
        .examples_from_iter(errors.iter().map(example))
        .build();
    let response =
        ResponseBuilder::new().description(codes.join(", ")).content("application/json", content);
    let header = |about: &str, kind: Type| {
        let schema = ObjectBuilder::new().schema_type(kind).build();
        HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build()
    };
    if errors.iter().any(|error| error.retry_after.is_some()) {
        response.header("Retry-After", header("Seconds to wait before a retry", Type::Integer))
    } else if errors.iter().any(|error| !error.challenges.is_empty()) {
        response.header("WWW-Authenticate", header("The accepted authentication", Type::String))
    } else {
        response
    }
}
