//! Events of API v2 (<https://docs.stripe.com/api/v2/core/events/retrieve>). A notification has no
//! `data`; the retrieved event has.

use super::caller::{Outcome, found, refuse_parameters, require_platform};
use crate::engine::Engine;
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;

pub(super) fn retrieve(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    if request.header("Stripe-Version").is_none() {
        let message = "API v2 has no default version: send Stripe-Version.";
        return Err(ApiResponse::invalid_request(None, message).not_executed());
    }
    refuse_parameters(request)?;
    let state = engine.state();
    require_platform(&state, request)?;
    found(state.thin_events.get(id), "event", id)
}
