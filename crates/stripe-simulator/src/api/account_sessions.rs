//! Account Sessions (<https://docs.stripe.com/api/account_sessions>), with the components of
//! Capital alone (<https://docs.stripe.com/capital/embedded-component-integration>).
//!
//! The components are a preview: they need a preview release in `Stripe-Version`, or the flag
//! `embedded_connect_beta=v2`. Without either they are unknown parameters. What Stripe answers if
//! no component is enabled, and how long a session lasts, is not documented.

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::account_links::{connected, required};
use super::caller::{Outcome, require_platform};
use crate::engine::Engine;
use crate::http::request::{ApiRequest, Parameters};
use crate::http::response::ApiResponse;
use crate::http::version::Version;

const COMPONENTS: [&str; 3] =
    ["capital_financing", "capital_financing_application", "capital_financing_promotion"];

/// Short, so that nothing relies on it.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);

pub(super) fn create(engine: &Engine, request: &ApiRequest) -> Outcome {
    request.query.refuse_unknown(&[])?;
    let form = request.form();
    let (now, state) = (engine.time.now(), engine.state());
    require_platform(&state, request)?;
    let account = required(&form, "account")?;
    let components = components(&form, is_preview(request))?;
    connected(&state, account)?;
    Ok(ApiResponse::ok(json!({
        "object": "account_session", "account": account,
        "client_secret": format!("_{}", hex::encode(rand::random::<[u8; 24]>())),
        "components": components, "expires_at": (now + LIFETIME).timestamp(),
        "livemode": state.livemode,
    })))
}

/// The default version of a platform is never a preview.
fn is_preview(request: &ApiRequest) -> bool {
    Version::of(request).is_some_and(|version| {
        version.release == Some("preview")
            || version.flags.contains(&("embedded_connect_beta", "v2"))
    })
}

/// All components, with those enabled that the form enables.
fn components(form: &Parameters, is_preview: bool) -> Result<Value, ApiResponse> {
    let mut all = Map::new();
    for component in COMPONENTS.into_iter().filter(|_| is_preview) {
        let enabled = form.boolean(&format!("components[{component}][enabled]"))?;
        let state = json!({"enabled": enabled.unwrap_or_default(), "features": {}});
        all.insert(component.to_owned(), state);
    }
    for name in form.names() {
        if let Some(rest) = name.strip_prefix("components[") {
            let (component, rest) = rest.split_once(']').unwrap_or((rest, ""));
            if !all.contains_key(component) {
                return Err(unknown(&format!("components[{component}]")));
            }
            if rest != "[enabled]" {
                return Err(unknown(name));
            }
        } else if name != "account" {
            return Err(unknown(name));
        }
    }
    if !form.names().any(|name| name.starts_with("components[")) {
        let message = "Missing required param: components.";
        let code = Some("parameter_missing");
        return Err(ApiResponse::invalid_parameter(code, message, "components"));
    }
    if all.values().all(|component| component["enabled"] == false) {
        let message = "At least one component must be enabled.";
        return Err(ApiResponse::invalid_parameter(None, message, "components"));
    }
    Ok(Value::Object(all))
}

fn unknown(parameter: &str) -> ApiResponse {
    let message = format!("Received unknown parameter: {parameter}");
    ApiResponse::invalid_parameter(Some("parameter_unknown"), &message, parameter)
}
