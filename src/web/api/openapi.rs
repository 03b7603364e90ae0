//! `GET /api/v1/openapi.json`: the addresses under `/api/v1` as OpenAPI 3.1, made from the handlers' own types and from the table of routes,
//! so that it can say nothing else than they do.

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

const ABOUT: &str = "What a platform's own programs ask capital-courier: its merchants' offers of financing, what became of them and what \
    they add up to; links into what Stripe shows; where letters go, and to whom none do.\n\n\
    Amounts are whole minor units, named `…_minor`, beside their `currency`; amounts of different currencies are never added up. Moments \
    are RFC 3339 in UTC. A list is `data` and `next_cursor`, which is null after the last page. Every answer has `Cache-Control: no-store`.\n\n\
    Refusals have one shape, a stable `error.code` and a sentence for a person; more codes and more fields may come. Where another try makes \
    sense, `Retry-After` says in how many seconds. Another method than those that are described is 405 `method_not_allowed`.";

/// The names of the two ways to present a key.
const BEARER: &str = "bearer";
const BASIC: &str = "basic";

/// The description, once it is whole.
#[derive(Clone, Debug)]
pub(super) struct Description(pub(super) Bytes);

/// Describe the API
///
/// This description. Needs no key.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "describeApi",
    tag = "Description",
    security(),
    responses((status = 200, body = Object, content_type = "application/json", description = "OpenAPI 3.1")),
)]
pub(super) async fn show(
    Extension(Description(json)): Extension<Description>,
) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], json)
}

/// What a description begins with.
pub(super) fn begin() -> OpenApi {
    let mit = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("capital-courier")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(mit))
        .build();
    let tags = [
        ("Financings", "Offers, what became of them, what they add up to"),
        ("Links", "A merchant's way into what Stripe shows"),
        ("Contacts", "Where an account's letters go"),
        ("Opt-outs", "Who wants no letters"),
        ("Description", "This description"),
    ];
    let tag = |(name, about)| TagBuilder::new().name(name).description(Some(about)).build();
    let this_server =
        ServerBuilder::new().url("/").description(Some("Where this was read")).build();
    let mut components = Components::new();
    for (name, schema) in
        [(ErrorBody::name(), ErrorBody::schema()), (ErrorDetail::name(), ErrorDetail::schema())]
    {
        components.schemas.insert(name.into_owned(), schema);
    }
    for (name, scheme) in [(BEARER, HttpAuthScheme::Bearer), (BASIC, HttpAuthScheme::Basic)] {
        let about = match name {
            BEARER => "An API key, `courier_…`, that `capital-courier api-key create` makes.",
            _ => "The same key as the password, with any user.",
        };
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

/// Says of addresses which scope they need, and what they can be refused for besides.
pub(super) fn say(paths: &mut Paths, scope: Scope, refusals: &[Refusal]) {
    let of_all = [
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
        operation.tags = Some(vec![tag(scope).to_owned()]);
        operation.security = Some(
            [BEARER, BASIC].map(|name| SecurityRequirement::new(name, [scope.as_str()])).into(),
        );
        let mut by_status: BTreeMap<u16, Vec<ApiError>> = BTreeMap::new();
        for error in of_all.iter().chain(refusals).map(Refusal::describe) {
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
        Scope::FinancingsRead => "Financings",
        Scope::LinksWrite => "Links",
        Scope::ContactsWrite => "Contacts",
        Scope::BouncesWrite => "Reports about letters",
    }
}

/// An answer that can be any of these, each with an example under its code.
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
        response.header("Retry-After", header("In how many seconds to try again", Type::Integer))
    } else if errors.iter().any(|error| !error.challenges.is_empty()) {
        response.header("WWW-Authenticate", header("What would do", Type::String))
    } else {
        response
    }
}
