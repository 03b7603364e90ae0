//! What the simulator answers: Stripe's accounts, offers and events. `financing::routes` answers for money, `link` for Account Links.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::Answer;
use super::api::Asked;
use super::list::{CREATED, created_fits, page, same, unknown};
use super::{Shared, financing, link};

/// Stripe's routes.
pub(crate) fn answer(shared: &Arc<Shared>, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["v1", "accounts", id]) => account(shared, id),
        ("GET", ["v1", "accounts", id, "persons"]) => persons(shared, asked, id),
        ("GET", ["v1", "capital", "financing_offers"]) => offers(shared, asked),
        ("GET", ["v1", "capital", "financing_offers", id]) => offer(shared, id),
        ("POST", ["v1", "capital", "financing_offers", id, "mark_delivered"]) => {
            mark_delivered(shared, id)
        }
        ("GET", ["v1", "events"]) => list_events(shared, asked),
        ("GET", ["v1", "events", id]) => event(shared, id),
        ("POST", ["v1", "account_links"]) => link::create(shared, asked),
        ("GET", ["v1", rest @ ..]) => {
            financing::routes::answer(shared, asked, rest).unwrap_or_else(|| unrecognized(asked))
        }
        _ => unrecognized(asked),
    }
}

fn unrecognized(asked: &Asked) -> Answer {
    let message = format!("Unrecognized request URL ({}: {})", asked.method, asked.path);
    Answer::error(404, "invalid_request_error", None, &message)
}

fn account(shared: &Shared, id: &str) -> Answer {
    let found = shared.state().accounts.get(id).cloned();
    found.map_or_else(|| Answer::missing("account", id), Answer::ok)
}

pub(crate) fn offer(shared: &Shared, id: &str) -> Answer {
    let found = shared.state().offer(id).cloned();
    found.map_or_else(|| Answer::missing("financing_offer", id), Answer::ok)
}

fn event(shared: &Shared, id: &str) -> Answer {
    let state = shared.state();
    let found = state.event_places.get(id).map(|place| state.events[*place].body.clone());
    found.map_or_else(|| Answer::missing("event", id), Answer::ok)
}

/// Stripe documents no answer for an offer that is not undelivered; a refusal makes the caller look.
fn mark_delivered(shared: &Shared, id: &str) -> Answer {
    let mut state = shared.state();
    let Some(offer) = state.offer_mut(id) else { return Answer::missing("financing_offer", id) };
    if offer["status"] != "undelivered" {
        let message =
            format!("This offer cannot be marked as delivered: its status is {}.", offer["status"]);
        return Answer::invalid(Some("financing_offer_unexpected_state"), &message);
    }
    offer["status"] = json!("delivered");
    let answer = offer.clone();
    *state.marked.entry(id.to_owned()).or_default() += 1;
    Answer::ok(answer)
}

fn persons(shared: &Shared, asked: &Asked, id: &str) -> Answer {
    if let Some(refused) = unknown(asked, &[&["relationship[owner]"]]) {
        return refused;
    }
    let state = shared.state();
    if !state.accounts.contains_key(id) {
        return Answer::missing("account", id);
    }
    let owners_only = asked.query.get("relationship[owner]").is_some_and(|only| only == "true");
    let all = state.persons.get(id).map(Vec::as_slice).unwrap_or_default();
    let fits = |person: &&Value| !owners_only || person["relationship"]["owner"] == true;
    page(asked, all.iter().rev().filter(fits))
}

fn offers(shared: &Shared, asked: &Asked) -> Answer {
    if let Some(refused) = unknown(asked, &[&["connected_account", "status"], &CREATED]) {
        return refused;
    }
    let fits = |offer: &&Value| {
        same(asked, "connected_account", &offer["account"])
            && same(asked, "status", &offer["status"])
            && created_fits(offer, asked)
    };
    page(asked, shared.state().offers.iter().rev().filter(fits))
}

fn list_events(shared: &Shared, asked: &Asked) -> Answer {
    if let Some(refused) = unknown(asked, &[&["type", "delivery_success"], &CREATED]) {
        return refused;
    }
    let wanted = |event: &&super::state::Event| {
        asked.query.get("type").is_none_or(|kind| is_of_type(&event.body, kind))
            && asked
                .query
                .get("delivery_success")
                .is_none_or(|only| (only == "true") == event.delivered)
            && created_fits(&event.body, asked)
    };
    let state = shared.state();
    page(asked, state.events.iter().rev().filter(wanted).map(|event| &event.body))
}

/// `capital.*` is a group (<https://docs.stripe.com/api/events/list>).
fn is_of_type(event: &Value, wanted: &str) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    wanted.strip_suffix('*').map_or(kind == wanted, |group| kind.starts_with(group))
}
