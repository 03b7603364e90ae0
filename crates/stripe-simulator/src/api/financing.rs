//! The summary (<https://docs.stripe.com/api/capital/financing_summary>) and the transactions
//! (<https://docs.stripe.com/api/capital/financing_transactions>) of an account, which
//! `Stripe-Account` names.

use serde_json::Value;

use super::caller::{Outcome, found, refuse_parameters, require_account};
use crate::engine::Engine;
use crate::financing::summary::summarize;
use crate::http::list;
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;

/// There is none by `type`, and none by time.
const FILTERS: [&str; 4] =
    ["charge", "financing_offer", "reversed_transaction", "treasury_transaction"];

pub(super) fn summary(engine: &Engine, request: &ApiRequest) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    let account = require_account(&state, request)?;
    Ok(ApiResponse::ok(summarize(&state, account, engine.time.now())))
}

pub(super) fn list(engine: &Engine, request: &ApiRequest) -> Outcome {
    list::check_filters(request, &[&FILTERS])?;
    let state = engine.state();
    let account = require_account(&state, request)?;
    let matches = |transaction: &&Value| {
        let (query, details) = (&request.query, &transaction["details"]);
        let cause = &details["transaction"];
        list::matches(query, "financing_offer", &transaction["financing_offer"])
            && list::matches(query, "charge", &cause["charge"])
            && list::matches(query, "reversed_transaction", &details["reversed_transaction"])
            && list::matches(query, "treasury_transaction", &cause["treasury_transaction"])
    };
    let all = state.transactions.get(account).into_iter().flatten();
    list::page(request, all.rev(), matches)
}

pub(super) fn retrieve(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    let account = require_account(&state, request)?;
    let mut all = state.transactions.get(account).into_iter().flatten();
    found(all.find(|transaction| transaction["id"] == id), "financing_transaction", id)
}
