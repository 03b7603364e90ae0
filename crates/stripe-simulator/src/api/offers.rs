//! Financing offers (<https://docs.stripe.com/api/capital/financing_offers>).

use serde_json::Value;

use super::caller::{Outcome, found, refuse_parameters, require_platform};
use crate::engine::Engine;
use crate::feed::Tone;
use crate::http::list::{self, CREATED, TimeFilter};
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;
use crate::state::offer::{is_past_expiry, text};

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
    let (now, mut state) = (engine.time.now(), engine.state());
    require_platform(&state, request)?;
    let offer = state.offers.get(id);
    let offer = offer.ok_or_else(|| ApiResponse::not_found("financing_offer", id))?;
    let account = text(&offer["account"]);
    let refused = |why: &str| {
        engine.report(Some(&account), format!("mark_delivered → 400: {why}"), Tone::Warn);
        let message = format!("This offer cannot be marked as delivered: {why}.");
        ApiResponse::invalid_request(Some("financing_offer_unexpected_state"), &message)
    };
    if offer["status"] != "undelivered" {
        return Err(refused(&format!("its status is {}", text(&offer["status"]))));
    }
    if is_past_expiry(offer, now) {
        return Err(refused("it is past its expiry"));
    }
    state.offers.set_delivered(id, now);
    *state.offers.delivered_marks.entry(id.to_owned()).or_default() += 1;
    engine.report(
        Some(&account),
        "mark_delivered → 200: Stripe knows that the offer reached the merchant",
        Tone::Good,
    );
    found(state.offers.get(id), "financing_offer", id)
}
