//! Financing offers (<https://docs.stripe.com/api/capital/financing_offers>).

use serde_json::Value;

use super::caller::{Outcome, found, refuse_parameters, require_platform};
use crate::engine::Engine;
use crate::http::list::{self, CREATED, TimeFilter};
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;
use crate::state::offer::is_past_expiry;

/// The statuses that the list can be filtered by. Not the statuses that an offer can have.
const STATUS_FILTER: [&str; 10] = [
    "accepted",
    "canceled",
    "completed",
    "delivered",
    "expired",
    "fully_repaid",
    "paid_out",
    "rejected",
    "revoked",
    "undelivered",
];

pub(super) fn list(engine: &Engine, request: &ApiRequest) -> Outcome {
    list::check_filters(request, &[&["connected_account", "status"], &CREATED])?;
    let created = TimeFilter::parse(&request.query, "created")?;
    let status = request.query.get("status");
    if let Some(status) = status.filter(|status| !STATUS_FILTER.contains(status)) {
        let message =
            format!("Invalid status: must be one of {}, not {status}", STATUS_FILTER.join(", "));
        return Err(ApiResponse::invalid_parameter(None, &message, "status"));
    }
    let state = engine.state();
    require_platform(&state, request)?;
    let matches = |offer: &&Value| {
        list::matches(&request.query, "connected_account", &offer["account"])
            && list::matches(&request.query, "status", &offer["status"])
            && created.matches(offer)
    };
    list::page(request, state.offers.all().iter().rev(), matches)
}

pub(super) fn retrieve(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    require_platform(&state, request)?;
    found(state.offers.get(id), "financing_offer", id)
}

/// Stripe does not document what happens to an offer that is not undelivered, or whose time is
/// over. Nothing can be relied on, so it is refused.
pub(super) fn mark_delivered(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let mut state = engine.state();
    require_platform(&state, request)?;
    let offer = state.offers.get_mut(id);
    let offer = offer.ok_or_else(|| ApiResponse::not_found("financing_offer", id))?;
    let refused = |message: &str| {
        ApiResponse::invalid_request(Some("financing_offer_unexpected_state"), message)
    };
    if offer["status"] != "undelivered" {
        let status = offer["status"].as_str().unwrap_or_default();
        let message = format!("This offer cannot be marked as delivered: its status is {status}.");
        return Err(refused(&message));
    }
    if is_past_expiry(offer, engine.time.now()) {
        return Err(refused("This offer cannot be marked as delivered: it is past its expiry."));
    }
    offer["status"] = "delivered".into();
    let response = ApiResponse::ok(offer.clone());
    *state.offers.delivered_marks.entry(id.to_owned()).or_default() += 1;
    Ok(response)
}
