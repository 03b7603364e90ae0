//! What the simulator answers: Stripe's accounts, offers and events; and its own `/_simulator/…`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use super::answer::Answer;
use super::api::Asked;
use super::buttons::{self, Button};
use super::events;
use super::state::{NewAccount, NewOffer};

/// Stripe's routes.
pub(super) fn answer(shared: &Arc<Shared>, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["v1", "accounts", id]) => account(shared, id),
        ("GET", ["v1", "accounts", id, "persons"]) => persons(shared, asked, id),
        ("GET", ["v1", "capital", "financing_offers"]) => offers(shared, asked),
        ("GET", ["v1", "capital", "financing_offers", id]) => offer(shared, id),
        ("POST", ["v1", "capital", "financing_offers", id, "mark_delivered"]) => mark_delivered(shared, id),
        ("GET", ["v1", "capital", "financing_transactions"]) => transactions(shared, asked),
        ("GET", ["v1", "events"]) => list_events(shared, asked),
        ("GET", ["v1", "events", id]) => event(shared, id),
        _ => {
            let message = format!("Unrecognized request URL ({}: {})", asked.method, asked.path);
            Answer::error(404, "invalid_request_error", None, &message)
        }
    }
}

/// The simulator's own routes, for `curl`: what Stripe's dashboard does by buttons.
pub(super) fn control(shared: &Arc<Shared>, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    let given: Value = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
    let word = |name: &str| given[name].as_str().map(str::to_owned);
    match (asked.method.as_str(), path.as_slice()) {
        ("POST", ["_simulator", "accounts"]) => {
            let new = NewAccount { name: word("name"), email: word("email"), country: word("country") };
            let id = shared.state().add_account(&new, shared.clock.now());
            Answer::ok(json!({"id": id}))
        }
        ("POST", ["_simulator", "offers"]) => {
            let account = word("account").unwrap_or_default();
            if !shared.state().accounts.contains_key(&account) {
                return Answer::missing("account", &account);
            }
            let usual = NewOffer::default();
            let new = NewOffer {
                advance_amount: given["advance_amount"].as_i64().unwrap_or(usual.advance_amount),
                fee_amount: given["fee_amount"].as_i64().unwrap_or(usual.fee_amount),
                currency: word("currency").unwrap_or(usual.currency.clone()),
                financing_type: word("financing_type").unwrap_or(usual.financing_type.clone()),
                ..usual
            };
            let id = shared.state().add_offer(&account, &new, shared.clock.now());
            events::announce(shared, "capital.financing_offer.created", &id);
            Answer::ok(json!({"id": id}))
        }
        ("POST", ["_simulator", "offers", id, button]) => match button.parse::<Button>() {
            Err(()) => Answer::invalid(None, "no such button"),
            Ok(button) => match buttons::press(shared, button, id) {
                Ok(()) => offer(shared, id),
                Err(impossible) => Answer::invalid(None, &impossible.to_string()),
            },
        },
        ("GET", ["_simulator", "state"]) => {
            let state = shared.state();
            Answer::ok(json!({"offers": state.offers, "accounts": state.accounts.keys().collect::<Vec<_>>()}))
        }
        _ => Answer::missing("route of the simulator", &asked.path),
    }
}

fn account(shared: &Shared, id: &str) -> Answer {
    let found = shared.state().accounts.get(id).cloned();
    found.map_or_else(|| Answer::missing("account", id), Answer::ok)
}

fn offer(shared: &Shared, id: &str) -> Answer {
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
        let message = format!("This offer cannot be marked as delivered: its status is {}.", offer["status"]);
        return Answer::invalid(Some("financing_offer_unexpected_state"), &message);
    }
    offer["status"] = json!("delivered");
    let answer = offer.clone();
    *state.marked.entry(id.to_owned()).or_default() += 1;
    Answer::ok(answer)
}

fn persons(shared: &Shared, asked: &Asked, id: &str) -> Answer {
    if let Some(refused) = unknown(asked, &["relationship[owner]"]) {
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
    if let Some(refused) = unknown(asked, &["connected_account", "status"]) {
        return refused;
    }
    let same = |offer: &Value, field: &str, parameter: &str| {
        asked.query.get(parameter).is_none_or(|wanted| offer[field] == wanted.as_str())
    };
    let state = shared.state();
    let newest_first = state.offers.iter().rev();
    page(
        asked,
        newest_first.filter(|offer| {
            same(offer, "account", "connected_account")
                && same(offer, "status", "status")
                && created_fits(offer, asked)
        }),
    )
}

/// An account's own list: the call has to be made in its name.
fn transactions(shared: &Shared, asked: &Asked) -> Answer {
    if let Some(refused) = unknown(asked, &["charge", "financing_offer", "reversed_transaction"]) {
        return refused;
    }
    let Some(account) = asked.header("Stripe-Account") else {
        return Answer::invalid(None, "Financing transactions are an account's own: send Stripe-Account.");
    };
    let state = shared.state();
    if !state.accounts.contains_key(account) {
        return Answer::missing("account", account);
    }
    let offer = asked.query.get("financing_offer");
    let fits =
        |transaction: &&Value| offer.is_none_or(|offer| transaction["financing_offer"] == offer.as_str());
    page(asked, state.transactions.get(account).into_iter().flatten().rev().filter(fits))
}

fn list_events(shared: &Shared, asked: &Asked) -> Answer {
    if let Some(refused) = unknown(asked, &["type", "delivery_success"]) {
        return refused;
    }
    let wanted = |event: &&super::state::Event| {
        asked.query.get("type").is_none_or(|kind| is_of_type(&event.body, kind))
            && asked.query.get("delivery_success").is_none_or(|only| (only == "true") == event.delivered)
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

fn created_fits(object: &Value, asked: &Asked) -> bool {
    let created = object["created"].as_i64().unwrap_or_default();
    let bound = |name: &str| asked.query.get(name).and_then(|bound| bound.parse::<i64>().ok());
    bound("created").is_none_or(|at| created == at)
        && bound("created[gt]").is_none_or(|bound| created > bound)
        && bound("created[gte]").is_none_or(|bound| created >= bound)
        && bound("created[lt]").is_none_or(|bound| created < bound)
        && bound("created[lte]").is_none_or(|bound| created <= bound)
}

/// Stripe refuses parameters that it does not know.
fn unknown(asked: &Asked, known: &[&str]) -> Option<Answer> {
    const PAGING: [&str; 8] = [
        "limit",
        "starting_after",
        "ending_before",
        "created",
        "created[gt]",
        "created[gte]",
        "created[lt]",
        "created[lte]",
    ];
    let strange = asked
        .query
        .keys()
        .find(|name| !known.contains(&name.as_str()) && !PAGING.contains(&name.as_str()))?;
    Some(Answer::invalid(Some("parameter_unknown"), &format!("Received unknown parameter: {strange}")))
}

/// A page of a list (<https://docs.stripe.com/api/pagination>): newest first.
fn page<'a>(asked: &Asked, all: impl Iterator<Item = &'a Value>) -> Answer {
    let limit = match asked.query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => 10,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Answer::invalid(Some("parameter_invalid_integer"), "Invalid limit: 1 to 100"),
    };
    let all: Vec<&Value> = all.collect();
    let place = |id: &String| all.iter().position(|object| object["id"] == id.as_str());
    let (after, before) = (asked.query.get("starting_after"), asked.query.get("ending_before"));
    let window = match (after.map(place), before.map(place)) {
        (Some(None), _) | (_, Some(None)) => {
            return Answer::invalid(Some("resource_missing"), "No such object to begin or end a page with");
        }
        (Some(Some(_)), Some(Some(_))) => {
            return Answer::invalid(None, "starting_after and ending_before exclude each other");
        }
        (Some(Some(place)), None) => &all[place + 1..],
        // The last page before it, not the first of all.
        (None, Some(Some(place))) => &all[place.saturating_sub(limit)..place],
        (None, None) => &all[..],
    };
    let data: Vec<&Value> = window.iter().take(limit).copied().collect();
    let has_more = match before.map(place) {
        Some(Some(place)) => place > limit,
        Some(None) | None => window.len() > limit,
    };
    Answer::ok(json!({"object": "list", "data": data, "has_more": has_more, "url": asked.path}))
}
