//! Charges, transfers, payouts and balance transactions. A caller sees its own only.

use serde_json::Value;

use super::caller::{Outcome, caller, found, refuse_parameters, require_platform};
use crate::engine::Engine;
use crate::http::list::{self, CREATED, TimeFilter};
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;
use crate::state::State;
use crate::state::balance::Balance;

const ARRIVAL: [&str; 5] = [
    "arrival_date",
    "arrival_date[gt]",
    "arrival_date[gte]",
    "arrival_date[lt]",
    "arrival_date[lte]",
];

pub(super) fn charge(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    let caller = caller(&state, request)?;
    let stored = state.charges.get(id).filter(|stored| stored.account.as_deref() == caller);
    found(stored.map(|stored| &stored.object), "charge", id)
}

pub(super) fn transfer(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    require_platform(&state, request)?;
    found(state.transfers.get(id), "transfer", id)
}

pub(super) fn payouts(engine: &Engine, request: &ApiRequest) -> Outcome {
    list::check_filters(request, &[&["status"], &ARRIVAL, &CREATED])?;
    let arrival = TimeFilter::parse(&request.query, "arrival_date")?;
    let created = TimeFilter::parse(&request.query, "created")?;
    let state = engine.state();
    let matches = |payout: &&Value| {
        list::matches(&request.query, "status", &payout["status"])
            && arrival.matches(payout)
            && created.matches(payout)
    };
    let all = balance(&state, request)?.into_iter().flat_map(|balance| &balance.payouts);
    list::page(request, all.rev(), matches)
}

pub(super) fn payout(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    let mut all = balance(&state, request)?.into_iter().flat_map(|balance| &balance.payouts);
    found(all.find(|payout| payout["id"] == id), "payout", id)
}

/// Those of a payout include the payout's own.
pub(super) fn transactions(engine: &Engine, request: &ApiRequest) -> Outcome {
    list::check_filters(request, &[&["payout", "source", "type", "currency"], &CREATED])?;
    let created = TimeFilter::parse(&request.query, "created")?;
    let state = engine.state();
    let Some(balance) = balance(&state, request)? else {
        return list::page(request, std::iter::empty(), |_| true);
    };
    let payout = request.query.get("payout");
    let is_in_payout = |transaction: &Value| {
        let of = transaction["id"].as_str().and_then(|id| balance.payout_of.get(id));
        payout.is_none_or(|payout| of.map(String::as_str) == Some(payout))
    };
    let matches = |transaction: &&Value| {
        is_in_payout(transaction)
            && list::matches(&request.query, "source", &transaction["source"])
            && list::matches(&request.query, "type", &transaction["type"])
            && list::matches(&request.query, "currency", &transaction["currency"])
            && created.matches(transaction)
    };
    list::page(request, balance.transactions.iter().rev(), matches)
}

/// The caller's balance. The platform's own is empty.
fn balance<'a>(state: &'a State, request: &ApiRequest) -> Result<Option<&'a Balance>, ApiResponse> {
    Ok(caller(state, request)?.and_then(|account| state.balances.get(account)))
}
