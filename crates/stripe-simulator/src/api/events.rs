//! The Events API (<https://docs.stripe.com/api/events>). It knows the events of 30 days.

use serde_json::Value;

use super::caller::{Outcome, found, refuse_parameters, require_platform};
use crate::engine::Engine;
use crate::http::list::{self, CREATED, TimeFilter};
use crate::http::request::{ApiRequest, Parameters};
use crate::http::response::ApiResponse;
use crate::state::event::{Delivery, Event};

const MAX_TYPES: usize = 20;

pub(super) fn list(engine: &Engine, request: &ApiRequest) -> Outcome {
    list::check_filters(request, &[&["type", "types[]", "delivery_success"], &CREATED])?;
    let created = TimeFilter::parse(&request.query, "created")?;
    let delivery_success = request.query.boolean("delivery_success")?;
    let types = types(&request.query)?;
    let matches = |event: &&Event| {
        delivery_success.is_none_or(|wanted| wanted == is_success(event.delivery))
            && (types.is_empty() || types.iter().any(|wanted| is_of_type(&event.body, wanted)))
            && created.matches(&event.body)
    };
    let state = engine.state();
    require_platform(&state, request)?;
    let events = state.events.retained(engine.time.now());
    list::page_of(request, events, |event| &event.body, matches)
}

pub(super) fn retrieve(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    require_platform(&state, request)?;
    let event = state.events.get(id, engine.time.now());
    found(event.map(|event| &event.body), "event", id)
}

/// `delivery_success=false` lists what is pending or failed at an endpoint. Where no endpoint was
/// registered nothing is: such an event is found by its type and time alone.
fn is_success(delivery: Delivery) -> bool {
    match delivery {
        Delivery::NotSent | Delivery::Delivered => true,
        Delivery::Undelivered => false,
    }
}

fn types(query: &Parameters) -> Result<Vec<&str>, ApiResponse> {
    let types = query.array("types");
    match query.get("type") {
        None if types.len() > MAX_TYPES => {
            let message = "You may pass up to 20 types.";
            Err(ApiResponse::invalid_parameter(None, message, "types"))
        }
        // Groups are documented for `type` alone.
        None if types.iter().any(|wanted| wanted.contains('*')) => {
            let message = "types takes specific event names.";
            Err(ApiResponse::invalid_parameter(None, message, "types"))
        }
        None => Ok(types),
        Some(one) if types.is_empty() => Ok(vec![one]),
        Some(_) => {
            let message = "You may pass either type or types, but not both.";
            Err(ApiResponse::invalid_parameter(None, message, "types"))
        }
    }
}

/// `capital.*` is a group of types.
fn is_of_type(event: &Value, wanted: &str) -> bool {
    let event_type = event["type"].as_str().unwrap_or_default();
    let group = wanted.strip_suffix('*');
    group.map_or(event_type == wanted, |group| event_type.starts_with(group))
}
