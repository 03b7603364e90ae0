//! Accounts (<https://docs.stripe.com/api/accounts>) and their persons.

use serde_json::Value;

use super::caller::{Outcome, caller, found, no_access, refuse_parameters};
use crate::engine::Engine;
use crate::http::list;
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;

pub(super) fn retrieve(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    refuse_parameters(request)?;
    let state = engine.state();
    caller(&state, request)?;
    if state.accounts.disconnected.contains(id) {
        return Err(no_access(id));
    }
    found(state.accounts.get(id), "account", id)
}

pub(super) fn persons(engine: &Engine, request: &ApiRequest, id: &str) -> Outcome {
    list::check_filters(request, &[&["relationship[owner]"]])?;
    let owner = request.query.boolean("relationship[owner]")?;
    let state = engine.state();
    caller(&state, request)?;
    if state.accounts.disconnected.contains(id) {
        return Err(no_access(id));
    }
    if !state.accounts.contains(id) {
        return Err(ApiResponse::not_found("account", id));
    }
    let all = state.accounts.persons.get(id).map(Vec::as_slice).unwrap_or_default();
    let matches = |person: &&Value| {
        let is_owner = person["relationship"]["owner"] == true;
        owner.is_none_or(|wanted| wanted == is_owner)
    };
    list::page(request, all.iter().rev(), matches)
}
