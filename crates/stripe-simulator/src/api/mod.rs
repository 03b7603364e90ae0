//! Stripe's own routes.
//!
//! | file | owns |
//! |---|---|
//! | `accounts` | accounts and their persons |
//! | `offers` | financing offers and `mark_delivered` |
//! | `account_links` | Account Links |
//! | `account_sessions` | Account Sessions |
//! | `events` | the Events API |
//! | `thin_events` | events of API v2 |
//! | `financing` | the summary and the financing transactions of an account |
//! | `webhook_endpoints` | webhook endpoints |
//! | `balance` | charges, transfers, payouts, balance transactions |
//! | `caller` | who a call is made for, and what all calls check |
//!
//! `expand` is not simulated, so it is refused as an unknown parameter.

mod account_links;
mod account_sessions;
mod accounts;
mod balance;
mod caller;
mod events;
mod financing;
mod offers;
mod thin_events;
mod webhook_endpoints;

use crate::engine::Engine;
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;

/// Answers a request whose key was accepted.
pub(crate) fn respond(engine: &Engine, request: &ApiRequest) -> ApiResponse {
    let path = request.segments();
    let outcome = match (request.method.as_str(), path.as_slice()) {
        ("GET", ["v1", "accounts"]) => accounts::list(engine, request),
        ("GET", ["v1", "accounts", id]) => accounts::retrieve(engine, request, id),
        ("GET", ["v1", "accounts", id, "persons"]) => accounts::persons(engine, request, id),
        ("POST", ["v1", "account_links"]) => account_links::create(engine, request),
        ("POST", ["v1", "account_sessions"]) => account_sessions::create(engine, request),
        ("GET", ["v1", "capital", "financing_offers"]) => offers::list(engine, request),
        ("GET", ["v1", "capital", "financing_offers", id]) => offers::retrieve(engine, request, id),
        ("POST", ["v1", "capital", "financing_offers", id, "mark_delivered"]) => {
            offers::mark_delivered(engine, request, id)
        }
        ("GET", ["v1", "capital", "financing_summary"]) => financing::summary(engine, request),
        ("GET", ["v1", "capital", "financing_transactions"]) => financing::list(engine, request),
        ("GET", ["v1", "capital", "financing_transactions", id]) => {
            financing::retrieve(engine, request, id)
        }
        ("GET", ["v1", "events"]) => events::list(engine, request),
        ("GET", ["v1", "events", id]) => events::retrieve(engine, request, id),
        ("GET", ["v2", "core", "events", id]) => thin_events::retrieve(engine, request, id),
        ("GET", ["v1", "webhook_endpoints"]) => webhook_endpoints::list(engine, request),
        ("POST", ["v1", "webhook_endpoints"]) => webhook_endpoints::create(engine, request),
        ("GET", ["v1", "webhook_endpoints", id]) => {
            webhook_endpoints::retrieve(engine, request, id)
        }
        ("POST", ["v1", "webhook_endpoints", id]) => webhook_endpoints::update(engine, request, id),
        ("GET", ["v1", "charges", id]) => balance::charge(engine, request, id),
        ("GET", ["v1", "transfers", id]) => balance::transfer(engine, request, id),
        ("GET", ["v1", "payouts"]) => balance::payouts(engine, request),
        ("GET", ["v1", "payouts", id]) => balance::payout(engine, request, id),
        ("GET", ["v1", "balance_transactions"]) => balance::transactions(engine, request),
        _ => Err(unrecognized(request)),
    };
    outcome.unwrap_or_else(|refusal| refusal)
}

fn unrecognized(request: &ApiRequest) -> ApiResponse {
    let message = format!("Unrecognized request URL ({}: {})", request.method, request.path);
    ApiResponse::error(404, "invalid_request_error", None, &message).not_executed()
}
