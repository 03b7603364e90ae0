//! Webhook endpoints (<https://docs.stripe.com/api/webhook_endpoints>).
//!
//! Stripe refuses addresses that the internet cannot reach. Here they are accepted: the receivers of
//! a simulator run on the same machine. Deletion is not simulated.

use serde_json::{Map, Value, json};
use url::Url;

use super::account_links::required;
use super::caller::{Outcome, found, refuse_parameters, require_platform};
use crate::engine::Engine;
use crate::http::list;
use crate::http::request::{ApiRequest, Parameters};
use crate::http::response::ApiResponse;
use crate::state::event::EVENT_TYPES;

const UPDATED: [&str; 4] = ["url", "enabled_events[]", "description", "metadata[*]"];

pub(super) fn list(engine: &Engine, request: &ApiRequest) -> Outcome {
    list::check_filters(request, &[])?;
    let state = engine.state();
    require_platform(&state, request)?;
    let newest_first = state.webhook_endpoints.iter().rev().map(|one| &one.object);
    list::page(request, newest_first, |_| true)
}

pub(super) fn retrieve(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    require_platform(&state, request)?;
    let endpoint = state.webhook_endpoints.iter().find(|one| one.object["id"] == id);
    found(endpoint.map(|one| &one.object), "webhook endpoint", id)
}

pub(super) fn create(engine: &Engine, request: &ApiRequest) -> Outcome {
    request.query.refuse_unknown(&[])?;
    let form = request.form();
    form.refuse_unknown(&[&UPDATED, &["api_version", "connect"]])?;
    let is_connect = form.boolean("connect")?.unwrap_or(false);
    let (now, mut state) = (engine.time.now(), engine.state());
    require_platform(&state, request)?;
    required(&form, "url")?;
    let mut object = json!({
        "object": "webhook_endpoint", "api_version": form.get("api_version"),
        "application": is_connect.then_some("ca_simulator"), "created": now.timestamp(),
        "description": null, "enabled_events": [], "livemode": state.livemode,
        "metadata": {}, "status": "enabled", "url": null,
    });
    apply(&form, &mut object, state.livemode)?;
    if object["enabled_events"] == json!([]) {
        let message = "Missing required param: enabled_events.";
        let code = Some("parameter_missing");
        return Err(ApiResponse::invalid_parameter(code, message, "enabled_events"));
    }
    Ok(ApiResponse::ok(state.add_webhook_endpoint(object)))
}

/// Neither `api_version` nor `connect` can be changed.
pub(super) fn update(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    request.query.refuse_unknown(&[])?;
    let form = request.form();
    form.refuse_unknown(&[&UPDATED, &["disabled"]])?;
    let disabled = form.boolean("disabled")?;
    let mut state = engine.state();
    require_platform(&state, request)?;
    let livemode = state.livemode;
    let endpoint = state.webhook_endpoints.iter_mut().find(|one| one.object["id"] == id);
    let Some(endpoint) = endpoint else {
        return Err(ApiResponse::not_found("webhook endpoint", id));
    };
    let mut object = endpoint.object.clone();
    apply(&form, &mut object, livemode)?;
    if let Some(disabled) = disabled {
        object["status"] = json!(if disabled { "disabled" } else { "enabled" });
    }
    endpoint.object = object.clone();
    Ok(ApiResponse::ok(object))
}

/// What creation and update have in common.
fn apply(form: &Parameters, object: &mut Value, livemode: bool) -> Result<(), ApiResponse> {
    if let Some(url) = form.get("url") {
        object["url"] = json!(valid_url(url, livemode)?);
    }
    let types = form.array("enabled_events");
    if !types.is_empty() {
        check_types(&types)?;
        object["enabled_events"] = json!(types);
    }
    if let Some(description) = form.get("description") {
        object["description"] = json!(description);
    }
    let mut metadata = object["metadata"].as_object().cloned().unwrap_or_default();
    merge_metadata(form, &mut metadata);
    object["metadata"] = Value::Object(metadata);
    Ok(())
}

fn merge_metadata(form: &Parameters, metadata: &mut Map<String, Value>) {
    for name in form.names() {
        let key = name.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']'));
        if let Some((key, value)) = key.and_then(|key| Some((key, form.get(name)?))) {
            metadata.insert(key.to_owned(), json!(value));
        }
    }
}

fn valid_url(given: &str, livemode: bool) -> Result<String, ApiResponse> {
    let invalid = |message| ApiResponse::invalid_parameter(Some("url_invalid"), message, "url");
    let url = Url::parse(given).map_err(|_| invalid("Not a valid URL"))?;
    match url.scheme() {
        "https" => Ok(given.to_owned()),
        "http" if !livemode => Ok(given.to_owned()),
        "http" => Err(invalid("Invalid URL: Livemode webhooks must use HTTPS.")),
        _ => Err(invalid("Not a valid URL")),
    }
}

/// Types of other products than Capital are accepted unseen.
fn check_types(types: &[&str]) -> Result<(), ApiResponse> {
    let is_known = |name: &&str| !name.starts_with("capital.") || EVENT_TYPES.contains(name);
    match types.iter().position(|name| !is_known(name)) {
        None => Ok(()),
        Some(at) => {
            let name = format!("enabled_events[{at}]");
            let message = format!("Invalid {name}: {} is not a valid event type.", types[at]);
            Err(ApiResponse::invalid_parameter(None, &message, &name))
        }
    }
}
