//! The simulator's own `/_simulator/…`, for `curl`: what Stripe's dashboard does by buttons, what customers and merchants do, and
//! the truth about it. Bodies are JSON; amounts are minor units.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::Answer;
use super::api::Asked;
use super::buttons::{self, Button, Impossible};
use super::financing::{self, Charge, ChargeKind, PaidFrom, Reversal};
use super::state::{NewAccount, NewOffer};
use super::{Shared, events, routes};

/// What a body says.
struct Given(Value);

impl Given {
    fn word(&self, name: &str) -> Option<String> {
        self.0[name].as_str().map(str::to_owned)
    }

    fn amount(&self, name: &str) -> Option<i64> {
        self.0[name].as_i64()
    }
}

pub(crate) fn answer(shared: &Arc<Shared>, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').skip(1).collect();
    let given = Given(serde_json::from_slice(&asked.body).unwrap_or(Value::Null));
    match (asked.method.as_str(), path.as_slice()) {
        ("POST", ["accounts"]) => add_account(shared, &given),
        ("POST", ["accounts", id, "charges"]) => charge(shared, id, &given),
        ("POST", ["accounts", id, "pay_out"]) => {
            let payout = events::act(shared, |act| financing::balance::pay_out(act, id));
            Answer::ok(json!({"id": payout}))
        }
        ("GET", ["accounts", id, "truth"]) => Answer::ok(json!(shared.state().books.truth(id))),
        ("POST", ["charges", id, "refund"]) => {
            let minor = given.amount("amount").unwrap_or_default();
            done(events::act(shared, |act| financing::charge::refund(act, id, minor)))
        }
        ("POST", ["offers"]) => create_offer(shared, &given),
        ("POST", ["offers", id, act @ ("pay" | "collect")]) => pay(shared, id, act, &given),
        ("POST", ["offers", id, button]) => press(shared, id, button),
        ("POST", ["transactions", id, "reverse"]) => reverse(shared, id, &given),
        ("GET", ["state"]) => {
            let state = shared.state();
            Answer::ok(
                json!({"offers": state.offers, "accounts": state.accounts.keys().collect::<Vec<_>>()}),
            )
        }
        _ => Answer::missing("route of the simulator", &asked.path),
    }
}

fn done(made: Result<String, Impossible>) -> Answer {
    match made {
        Ok(id) => Answer::ok(json!({"id": id})),
        Err(impossible) => Answer::invalid(None, &impossible.to_string()),
    }
}

fn add_account(shared: &Shared, given: &Given) -> Answer {
    let new = NewAccount {
        name: given.word("name"),
        email: given.word("email"),
        country: given.word("country"),
    };
    let id = shared.state().add_account(&new, shared.clock.now());
    Answer::ok(json!({"id": id}))
}

fn create_offer(shared: &Arc<Shared>, given: &Given) -> Answer {
    let account = given.word("account").unwrap_or_default();
    if !shared.state().accounts.contains_key(&account) {
        return Answer::missing("account", &account);
    }
    let usual = NewOffer::default();
    let new = NewOffer {
        advance_amount: given.amount("advance_amount").unwrap_or(usual.advance_amount),
        fee_amount: given.amount("fee_amount").unwrap_or(usual.fee_amount),
        currency: given.word("currency"),
        withhold_rate: given.0["withhold_rate"].as_f64().unwrap_or(usual.withhold_rate),
        product_type: given.word("product_type").unwrap_or(usual.product_type),
        financing_type: given.word("financing_type").unwrap_or(usual.financing_type),
        open_for: usual.open_for,
    };
    let id = shared.state().add_offer(&account, &new, shared.clock.now());
    events::announce(shared, "capital.financing_offer.created", &id);
    Answer::ok(json!({"id": id}))
}

fn press(shared: &Arc<Shared>, id: &str, button: &str) -> Answer {
    match button.parse::<Button>().map(|button| buttons::press(shared, button, id)) {
        Err(()) => Answer::invalid(None, "no such button"),
        Ok(Ok(())) => routes::offer(shared, id),
        Ok(Err(impossible)) => Answer::invalid(None, &impossible.to_string()),
    }
}

/// A direct charge, or with `transfer_amount` a destination charge.
fn charge(shared: &Arc<Shared>, account: &str, given: &Given) -> Answer {
    let kind = match given.amount("transfer_amount") {
        Some(transfer_amount) => ChargeKind::Destination { transfer_amount },
        None => ChargeKind::Direct {
            application_fee: given.amount("application_fee").unwrap_or_default(),
        },
    };
    let charge = Charge { amount: given.amount("amount").unwrap_or_default(), kind };
    match events::act(shared, |act| financing::charge::charge(act, account, &charge)) {
        Ok(charged) => {
            Answer::ok(json!({"id": charged.charge, "withheld": charged.withheld_minor}))
        }
        Err(impossible) => Answer::invalid(None, &impossible.to_string()),
    }
}

fn pay(shared: &Arc<Shared>, offer: &str, what: &str, given: &Given) -> Answer {
    let Ok(from) = PaidFrom::from_str(given.0["from"].as_str().unwrap_or("balance")) else {
        return Answer::invalid(None, "`from` is `balance` or `bank`");
    };
    let minor = given.amount("amount").unwrap_or_default();
    done(events::act(shared, |act| {
        if what == "pay" {
            financing::paydown::pay_by_hand(act, offer, minor, from)
        } else {
            financing::paydown::collect(act, offer, minor, from)
        }
    }))
}

fn reverse(shared: &Arc<Shared>, transaction: &str, given: &Given) -> Answer {
    let Ok(reversal) = Reversal::from_str(given.0["reason"].as_str().unwrap_or_default()) else {
        let reasons = "`reason` is `collection_failure`, `requested_by_user` or `automatic_withholding_refund`";
        return Answer::invalid(None, reasons);
    };
    done(events::act(shared, |act| financing::reversal::reverse(act, transaction, reversal)))
}
