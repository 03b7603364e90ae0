//! `/_simulator/…`, the simulator's own routes, for `curl`: what Stripe's Dashboard does, and what
//! customers and merchants do. Bodies are JSON; amounts are minor units.
//!
//! | file | owns |
//! |---|---|
//! | `offers` | offers: one with given terms, one of each product, or thousands |
//! | `bulk` | many offers of the past |
//! | `body` | a JSON body, and its fields |

mod body;
pub(crate) mod bulk;
pub(crate) mod offers;

use std::sync::Arc;

use serde_json::json;

use self::body::Body;
use crate::engine::Engine;
use crate::error::ActionError;
use crate::financing::charge::{self, ChargeKind, NewCharge};
use crate::financing::payment::{collect, pay_manually};
use crate::financing::{balance, reversal};
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;
use crate::lifecycle::{self, Action};
use crate::state::account::NewAccount;
use crate::state::event::LostEvent;

pub(crate) fn respond(engine: &Arc<Engine>, request: &ApiRequest) -> ApiResponse {
    let Some(body) = Body::parse(&request.body) else {
        return ApiResponse::invalid_request(None, "The body is not JSON.");
    };
    let path = request.segments();
    match (request.method.as_str(), &path[1..]) {
        ("POST", ["accounts"]) => add_account(engine, &body),
        ("POST", ["accounts", id, "charges"]) => add_charge(engine, id, &body),
        ("POST", ["accounts", id, "pay_out"]) => {
            let payout = engine.change(|change| balance::pay_out_sales(change, id));
            ApiResponse::ok(json!({"id": payout}))
        }
        ("GET", ["accounts", id, "journal"]) => {
            let journal = engine.state().journal.get(*id).cloned().unwrap_or_default();
            ApiResponse::ok(json!({"data": journal}))
        }
        ("POST", ["charges", id, "refund"]) => {
            let minor = body.integer("amount").unwrap_or_default();
            created(engine.change(|change| charge::refund(change, id, minor)))
        }
        ("POST", ["accounts", id, "leave"]) => leave(engine, id),
        ("POST", ["events", "lose"]) => lose_events(engine, &body),
        ("POST", ["events", "generation_failure"]) => report_failure(engine, &body),
        ("POST", ["offers"]) => offers::create(engine, &body),
        ("POST", ["offers", "bulk"]) => offers::create_bulk(engine, &body),
        ("POST", ["offers", "each_product"]) => offers::each_product(engine),
        ("POST", ["settings"]) => set(engine, &body),
        ("POST", ["offers", id, action @ ("pay" | "collect")]) => pay(engine, id, action, &body),
        ("POST", ["offers", id, action]) => perform(engine, id, action),
        ("POST", ["transactions", id, "reverse"]) => reverse(engine, id, &body),
        ("GET", ["state"]) => {
            let state = engine.state();
            let accounts: Vec<&String> = state.accounts.objects.keys().collect();
            ApiResponse::ok(json!({"offers": state.offers.all(), "accounts": accounts}))
        }
        _ => ApiResponse::not_found("route of the simulator", &request.path),
    }
}

fn refused(error: &ActionError) -> ApiResponse {
    ApiResponse::invalid_request(None, &error.to_string())
}

fn created(id: Result<String, ActionError>) -> ApiResponse {
    id.map_or_else(|error| refused(&error), |id| ApiResponse::ok(json!({"id": id})))
}

fn add_account(engine: &Engine, body: &Body) -> ApiResponse {
    let new = NewAccount {
        name: body.text("name"),
        email: body.text("email"),
        country: body.text("country"),
    };
    let id = engine.state().add_account(&new, engine.time.now());
    ApiResponse::ok(json!({"id": id}))
}

fn perform(engine: &Arc<Engine>, id: &str, action: &str) -> ApiResponse {
    let Ok(action) = action.parse::<Action>() else {
        return ApiResponse::invalid_request(None, "There is no such action.");
    };
    match engine.change(|change| lifecycle::perform(change, action, id)) {
        Ok(()) => ApiResponse::ok(engine.state().offers.get(id).cloned().unwrap_or_default()),
        Err(error) => refused(&error),
    }
}

/// A direct charge, or with `transfer_amount` a destination charge.
fn add_charge(engine: &Arc<Engine>, account: &str, body: &Body) -> ApiResponse {
    let kind = match body.integer("transfer_amount") {
        Some(transfer_amount) => ChargeKind::Destination { transfer_amount },
        None => ChargeKind::Direct {
            application_fee: body.integer("application_fee").unwrap_or_default(),
        },
    };
    let new = NewCharge { amount: body.integer("amount").unwrap_or_default(), kind };
    match engine.change(|change| charge::charge(change, account, &new)) {
        Ok(outcome) => {
            ApiResponse::ok(json!({"id": outcome.charge, "withheld": outcome.withheld_minor}))
        }
        Err(error) => refused(&error),
    }
}

fn pay(engine: &Arc<Engine>, offer: &str, action: &str, body: &Body) -> ApiResponse {
    let Ok(from) = body.text("from").as_deref().unwrap_or("balance").parse() else {
        return ApiResponse::invalid_request(None, "`from` is `balance` or `bank`.");
    };
    let minor = body.integer("amount").unwrap_or_default();
    created(engine.change(|change| {
        if action == "pay" {
            pay_manually(change, offer, minor, from)
        } else {
            collect(change, offer, minor, from)
        }
    }))
}

fn reverse(engine: &Arc<Engine>, transaction: &str, body: &Body) -> ApiResponse {
    let Ok(reason) = body.text("reason").unwrap_or_default().parse() else {
        let message = "`reason` is `collection_failure`, `requested_by_user` or \
                       `automatic_withholding_refund`.";
        return ApiResponse::invalid_request(None, message);
    };
    created(engine.change(|change| reversal::reverse(change, transaction, reason)))
}

/// The account leaves the platform, which can no longer read it.
fn leave(engine: &Engine, account: &str) -> ApiResponse {
    let mut state = engine.state();
    if !state.accounts.contains(account) {
        return ApiResponse::not_found("account", account);
    }
    state.accounts.disconnected.insert(account.to_owned());
    ApiResponse::ok(json!({"id": account}))
}

fn lose_events(engine: &Engine, body: &Body) -> ApiResponse {
    match body.count("count").map(|count| u32::try_from(count.unwrap_or(1))) {
        Ok(Ok(count)) => {
            engine.state().lost.next = count;
            ApiResponse::ok(json!({"count": count}))
        }
        Ok(Err(_)) => ApiResponse::invalid_request(None, "`count` is too large."),
        Err(error) => refused(&error),
    }
}

/// Of an event about any object, or without one of all lost events.
fn report_failure(engine: &Arc<Engine>, body: &Body) -> ApiResponse {
    let ids = match (body.text("event_type"), body.text("object")) {
        (Some(event_type), Some(object)) => {
            let lost = LostEvent { event_type, object };
            vec![engine.change(|change| change.report_lost(&lost))]
        }
        (None, None) => report_lost_events(engine),
        (Some(_), None) | (None, Some(_)) => {
            let message = "`event_type` and `object` belong together.";
            return ApiResponse::invalid_request(None, message);
        }
    };
    ApiResponse::ok(json!({"ids": ids}))
}

/// Reports each lost event once. Returns the ids of the thin events.
pub(crate) fn report_lost_events(engine: &Arc<Engine>) -> Vec<String> {
    engine.change(|change| {
        let lost = std::mem::take(&mut change.state.lost.unreported);
        lost.iter().map(|lost| change.report_lost(lost)).collect()
    })
}

fn set(engine: &Engine, body: &Body) -> ApiResponse {
    let flags = match body.texts("beta_flags") {
        Ok(flags) => flags,
        Err(error) => return refused(&error),
    };
    let mut state = engine.state();
    if let Some(flags) = flags {
        state.beta_flags = flags;
    }
    if let Some(sends) = body.boolean("preview_fields") {
        state.sends_preview_fields = sends;
    }
    let (flags, sends) = (&state.beta_flags, state.sends_preview_fields);
    ApiResponse::ok(json!({"beta_flags": flags, "preview_fields": sends}))
}
