//! Accounts (<https://docs.stripe.com/api/accounts>) and their persons.

use serde_json::Value;

use super::caller::{Outcome, caller, found, no_access, refuse_parameters};
use crate::engine::Engine;
use crate::http::list::{self, CREATED, TimeFilter};
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;

/// The connected accounts, newest first.
pub(super) fn list(engine: &Engine, request: &ApiRequest) -> Outcome {
    list::check_filters(request, &[&CREATED])?;
    let created = TimeFilter::parse(&request.query, "created")?;
    let state = engine.state();
    caller(&state, request)?;
    let connected = |id: &&String| state.accounts.is_connected(id);
    let mut ids: Vec<&String> = state.accounts.objects.keys().filter(connected).collect();
    // Later ids sort after earlier ones.
    ids.sort_unstable_by(|one, other| other.cmp(one));
    let accounts = ids.into_iter().filter_map(|id| state.accounts.get(id));
    list::page(request, accounts, |account| created.matches(account))
}

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
