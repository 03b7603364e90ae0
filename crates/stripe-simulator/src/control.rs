//! `/_simulator/…`, the simulator's own routes, for `curl`: what Stripe's Dashboard does, and what
//! customers and merchants do. Bodies are JSON; amounts are minor units.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::error::ActionError;
use crate::financing::charge::{self, ChargeKind, NewCharge};
use crate::financing::payment::{collect, pay_manually};
use crate::financing::{balance, reversal};
use crate::http::request::ApiRequest;
use crate::http::response::ApiResponse;
use crate::lifecycle::{self, Action};
use crate::state::account::NewAccount;
use crate::state::offer::NewOffer;

/// A JSON body.
struct Body(Value);

impl Body {
    /// No body is an empty one.
    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self(Value::Null));
        }
        serde_json::from_slice(bytes).ok().map(Self)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.0[name].as_str().map(str::to_owned)
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.0[name].as_i64()
    }
}

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
        ("POST", ["offers"]) => create_offer(engine, &body),
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

fn create_offer(engine: &Arc<Engine>, body: &Body) -> ApiResponse {
    let account = body.text("account").unwrap_or_default();
    if !engine.state().accounts.contains(&account) {
        return ApiResponse::not_found("account", &account);
    }
    let default = NewOffer::default();
    let new = NewOffer {
        advance_amount: body.integer("advance_amount").unwrap_or(default.advance_amount),
        fee_amount: body.integer("fee_amount").unwrap_or(default.fee_amount),
        currency: body.text("currency"),
        withhold_rate: body.0["withhold_rate"].as_f64().unwrap_or(default.withhold_rate),
        product_type: body.text("product_type").unwrap_or(default.product_type),
        financing_type: body.text("financing_type").unwrap_or(default.financing_type),
        open_for: default.open_for,
    };
    let id = engine.change(|change| lifecycle::create_offer(change, &account, &new));
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
    let Ok(from) = body.0["from"].as_str().unwrap_or("balance").parse() else {
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
    let Ok(reason) = body.0["reason"].as_str().unwrap_or_default().parse() else {
        let message = "`reason` is `collection_failure`, `requested_by_user` or \
                       `automatic_withholding_refund`.";
        return ApiResponse::invalid_request(None, message);
    };
    created(engine.change(|change| reversal::reverse(change, transaction, reason)))
}
