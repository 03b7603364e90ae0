//! Stripe's own routes.
//!
//! | file | owns |
//! |---|---|
//! | `accounts` | accounts and their persons |
//! | `offers` | financing offers and `mark_delivered` |
//! | `account_links` | Account Links |
//! | `events` | the Events API |
//! | `financing` | the summary and the financing transactions of an account |
//! | `balance` | charges, transfers, payouts, balance transactions |
//!
//! `expand` is not simulated, so it is refused as an unknown parameter.

mod account_links;
mod accounts;
mod balance;
mod events;
mod financing;
mod offers;

use serde_json::Value;

use crate::engine::Engine;
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;
use crate::state::State;

/// A response, or the refusal that ended the work early.
type Outcome = Result<ApiResponse, ApiResponse>;

/// Answers a request whose key was accepted.
pub(crate) fn respond(engine: &Engine, request: &ApiRequest) -> ApiResponse {
    let path = request.segments();
    let outcome = match (request.method.as_str(), path.as_slice()) {
        ("GET", ["v1", "accounts", id]) => accounts::retrieve(engine, request, id),
        ("GET", ["v1", "accounts", id, "persons"]) => accounts::persons(engine, request, id),
        ("POST", ["v1", "account_links"]) => account_links::create(engine, request),
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

/// The account that the request is made for (`Stripe-Account`); none is the platform itself.
fn caller<'a>(state: &State, request: &'a ApiRequest) -> Result<Option<&'a str>, ApiResponse> {
    match request.header("Stripe-Account") {
        None => Ok(None),
        Some(account) if state.accounts.contains(account) => Ok(Some(account)),
        Some(account) => {
            let message = format!(
                "The provided key does not have access to account '{account}' (or that account \
                 does not exist). Application access may have been revoked."
            );
            let code = Some("account_invalid");
            Err(ApiResponse::error(403, "invalid_request_error", code, &message).not_executed())
        }
    }
}

/// Stripe documents these calls for the platform alone, and does not say what they do for an
/// account.
fn require_platform(state: &State, request: &ApiRequest) -> Result<(), ApiResponse> {
    match caller(state, request)? {
        None => Ok(()),
        Some(_) => {
            let message = "This belongs to the platform: send no Stripe-Account.";
            Err(ApiResponse::invalid_request(None, message).not_executed())
        }
    }
}

/// What Stripe answers a platform that asks for its own financing is not documented.
fn require_account<'a>(state: &State, request: &'a ApiRequest) -> Result<&'a str, ApiResponse> {
    caller(state, request)?.ok_or_else(|| {
        let message = "Financings belong to connected accounts: send Stripe-Account.";
        ApiResponse::invalid_request(None, message).not_executed()
    })
}

/// A call that takes no parameters.
fn refuse_parameters(request: &ApiRequest) -> Result<(), ApiResponse> {
    request.query.refuse_unknown(&[])?;
    request.form().refuse_unknown(&[])
}

/// One object, or 404.
fn found(object: Option<&Value>, kind: &str, id: &str) -> Outcome {
    object.cloned().map(ApiResponse::ok).ok_or_else(|| ApiResponse::not_found(kind, id))
}
