//! The simulated Stripe Dashboard: each merchant, its offers, and a form for each action that is
//! possible now. A form is a POST that leads back to the page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use minijinja::context;
use serde_json::Value;

use super::time_lapse::{self, Span};
use super::{DASHBOARD, Pages, format_amount, render};
use crate::engine::Engine;
use crate::error::ActionError;
use crate::financing::balance::pay_out_sales;
use crate::financing::payment::{collect, pay_manually};
use crate::http::request::Parameters;
use crate::http::response::ApiResponse;
use crate::lifecycle::{self, Action};
use crate::state::State;
use crate::state::ledger::PaymentSource;
use crate::state::offer::text;

const HOME: &str = "/_simulator/";

pub(super) fn submit(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    form: (&str, &str, &str),
    fields: &Parameters,
) -> ApiResponse {
    match perform(engine, pages, form, fields) {
        Ok(()) => ApiResponse::see_other(HOME),
        Err(error) => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            let query = query.append_pair("notice", &error.to_string()).finish();
            ApiResponse::see_other(&format!("{HOME}?{query}"))
        }
    }
}

fn perform(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    (subject, id, action): (&str, &str, &str),
    fields: &Parameters,
) -> Result<(), ActionError> {
    if pages.time_lapse_is_running.load(Ordering::SeqCst) {
        return Err(ActionError::new("wait until the time lapse is over"));
    }
    // People write whole units of the currency.
    let amount = fields.get("amount").and_then(|amount| amount.parse::<i64>().ok());
    let minor = amount.unwrap_or(0).saturating_mul(100);
    let no_such_action = || ActionError::new("there is no such action");
    match (subject, action) {
        ("offers", "pay") => engine
            .change(|change| pay_manually(change, id, minor, PaymentSource::Balance))
            .map(drop),
        ("offers", "collect") => {
            engine.change(|change| collect(change, id, minor, PaymentSource::BankAccount)).map(drop)
        }
        ("offers", action) => {
            let action = action.parse().map_err(|()| no_such_action())?;
            engine.change(|change| lifecycle::perform(change, action, id))
        }
        ("accounts", "offer") => time_lapse::repeat_offer(engine, id).map(drop),
        ("accounts", "pay_out") => engine
            .change(|change| pay_out_sales(change, id))
            .map(drop)
            .ok_or_else(|| ActionError::new("there is nothing to pay out")),
        ("accounts", "day") => time_lapse::start(engine, pages, id, Span::Days(1)),
        ("accounts", "week") => time_lapse::start(engine, pages, id, Span::Days(7)),
        ("accounts", "month") => time_lapse::start(engine, pages, id, Span::Days(30)),
        ("accounts", "year") => time_lapse::start(engine, pages, id, Span::Year),
        _ => Err(no_such_action()),
    }
}

/// `notice` says why the last action did nothing.
pub(super) fn show(engine: &Engine, pages: &Pages, notice: &str) -> ApiResponse {
    let now = engine.time.now();
    let state = engine.state();
    let mut ids: Vec<&String> = state.accounts.objects.keys().collect();
    ids.sort();
    let page = context! {
        date => now.format("%A, %-d %B %Y, %H:%M UTC").to_string(),
        notice,
        time_lapse_is_running => pages.time_lapse_is_running.load(Ordering::SeqCst),
        has_platform_dashboard => pages.host().platform.is_some(),
        merchants => ids.into_iter().map(|id| merchant(&state, id)).collect::<Vec<_>>(),
    };
    drop(state);
    render(DASHBOARD, page)
}

fn merchant(state: &State, id: &str) -> minijinja::Value {
    let account = state.accounts.get(id).unwrap_or(&Value::Null);
    let offers = state.offers.of_account(id).map(|offer| offer_row(state, offer));
    context! {
        id,
        name => text(&account["business_profile"]["name"]),
        country => text(&account["country"]),
        offers => offers.collect::<Vec<_>>(),
    }
}

fn offer_row(state: &State, offer: &Value) -> minijinja::Value {
    let (id, status, terms) = (text(&offer["id"]), text(&offer["status"]), &offer["offered_terms"]);
    let currency = text(&terms["currency"]);
    let amount = |value: &Value| format_amount(value.as_i64().unwrap_or_default(), &currency);
    let active = state.ledger.remaining(&text(&offer["account"]));
    let remaining = active.into_iter().find(|active| active.offer == id);
    let actions = Action::allowed_in(&status).map(|action| {
        context! { name => action.as_str(), label => action.as_str().replace('_', " ") }
    });
    context! {
        actions => actions.collect::<Vec<_>>(),
        id,
        advance => amount(&terms["advance_amount"]),
        fee => amount(&terms["fee_amount"]),
        remaining => remaining.map(|active| format_amount(active.remaining_minor, &currency)),
        status => status.replace('_', " "),
    }
}
