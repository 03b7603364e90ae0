//! The simulated Stripe dashboard, for a browser: each merchant, its offers, and a form for whatever can happen now. Each form is a
//! POST that leads back to the page.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::{Environment, context};
use serde_json::Value;

use super::answer::Answer;
use super::api::Asked;
use super::buttons::{self, Button, Impossible};
use super::financing::{self, PaidFrom};
use super::link::{word, written};
use super::play::{self, Span};
use super::state::State;
use super::{Shared, events};

const DASHBOARD: &str = "dashboard.html";
const MERCHANTS: &str = "merchants.html";
const TEMPLATES: [(&str, &str); 3] = [
    ("layout.html", include_str!("../templates/layout.html")),
    (DASHBOARD, include_str!("../templates/dashboard.html")),
    (MERCHANTS, include_str!("../templates/merchants.html")),
];

/// None is no page.
pub(crate) fn answer(shared: &Arc<Shared>, asked: &Asked) -> Option<Answer> {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["_simulator"]) => {
            Some(show(shared, asked.query.get("said").map_or("", String::as_str)))
        }
        ("POST", ["_simulator", "page", what, id, act]) => {
            let form = url::form_urlencoded::parse(&asked.body).into_owned().collect();
            Some(back(press(shared, (what, id, act), &form)))
        }
        _ => None,
    }
}

/// To the page, which says why nothing happened.
fn back(pressed: Result<(), Impossible>) -> Answer {
    let Err(why) = pressed else { return Answer::see_other("/_simulator/") };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    Answer::see_other(&format!(
        "/_simulator/?{}",
        query.append_pair("said", &why.to_string()).finish()
    ))
}

fn press(
    shared: &Arc<Shared>,
    (what, id, act): (&str, &str, &str),
    form: &HashMap<String, String>,
) -> Result<(), Impossible> {
    if shared.state().is_playing {
        return Err(Impossible("wait until the days are over".to_owned()));
    }
    let minor = || {
        form.get("amount")
            .and_then(|amount| amount.parse::<i64>().ok())
            .unwrap_or(0)
            .saturating_mul(100)
    };
    match (what, act) {
        ("offers", "pay") => events::act(shared, |act| {
            financing::paydown::pay_by_hand(act, id, minor(), PaidFrom::Balance).map(drop)
        }),
        ("offers", "collect") => events::act(shared, |act| {
            financing::paydown::collect(act, id, minor(), PaidFrom::Bank).map(drop)
        }),
        ("offers", button) => {
            let button =
                button.parse().map_err(|()| Impossible("there is no such button".to_owned()))?;
            buttons::press(shared, button, id)
        }
        ("accounts", "offer") => play::offer(shared, id).map(drop),
        ("accounts", "pay_out") => events::act(shared, |act| financing::balance::pay_out(act, id))
            .map(drop)
            .ok_or_else(|| Impossible("there is nothing to pay out".to_owned())),
        ("accounts", "day") => play::start(shared, id, Span::Days(1)),
        ("accounts", "week") => play::start(shared, id, Span::Days(7)),
        ("accounts", "month") => play::start(shared, id, Span::Days(30)),
        ("accounts", "year") => play::start(shared, id, Span::Year),
        _ => Err(Impossible("there is no such button".to_owned())),
    }
}

fn show(shared: &Shared, said: &str) -> Answer {
    let now = shared.clock.now();
    let state = shared.state();
    let mut ids: Vec<&String> = state.accounts.keys().collect();
    ids.sort();
    let page = context! {
        date => now.format("%A, %-d %B %Y, %H:%M UTC").to_string(),
        said,
        playing => state.is_playing,
        has_dashboard => state.dashboard.is_some(),
        merchants => ids.into_iter().map(|id| merchant(&state, id)).collect::<Vec<_>>(),
    };
    drop(state);
    render(DASHBOARD, page)
}

fn merchant(state: &State, id: &str) -> minijinja::Value {
    let its_own = |offer: &&Value| offer["account"] == id;
    let offers = state.offers.iter().rev().filter(its_own).map(|offer| shown(state, offer));
    context! {
        id,
        name => word(&state.accounts[id]["business_profile"]["name"]),
        country => word(&state.accounts[id]["country"]),
        offers => offers.collect::<Vec<_>>(),
    }
}

fn shown(state: &State, offer: &Value) -> minijinja::Value {
    let (id, status, terms) = (word(&offer["id"]), word(&offer["status"]), &offer["offered_terms"]);
    let currency = word(&terms["currency"]);
    let amount = |value: &Value| written(value.as_i64().unwrap_or_default(), &currency);
    let under_way = state.books.left_under_way(&word(&offer["account"]));
    let left = under_way.into_iter().find(|(financing, _)| *financing == id).map(|(_, left)| left);
    let buttons = Button::possible_in(&status).map(|button| {
        context! { name => button.name(), label => button.name().replace('_', " ") }
    });
    context! {
        buttons => buttons.collect::<Vec<_>>(),
        id,
        advance => amount(&terms["advance_amount"]),
        fee => amount(&terms["fee_amount"]),
        left => left.map(|left| written(left, &currency)),
        status => status.replace('_', " "),
    }
}

/// Whoever comes without saying who it is chooses.
pub(crate) fn merchants(shared: &Shared) -> Answer {
    let state = shared.state();
    let mut all: Vec<(String, String)> = state
        .accounts
        .iter()
        .map(|(id, account)| (id.clone(), word(&account["business_profile"]["name"])))
        .collect();
    drop(state);
    all.sort();
    render(MERCHANTS, context! { merchants => all })
}

fn render(template: &str, page: minijinja::Value) -> Answer {
    let rendered = || {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        for (name, text) in TEMPLATES {
            templates.add_template(name, text)?;
        }
        templates.get_template(template)?.render(page)
    };
    rendered().map_or_else(
        |error: minijinja::Error| Answer::html(500, error.to_string()),
        |page| Answer::html(200, page),
    )
}
