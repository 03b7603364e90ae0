//! What Stripe's API shows of the money. Most of it is an account's own, and has to be asked for in its name: by `Stripe-Account`.

use serde_json::Value;

use super::balance::Balance;
use super::summary;
use crate::answer::Answer;
use crate::api::Asked;
use crate::list::{CREATED, created_fits, page, same, time_fits, unknown};
use crate::{Shared, state::State};

/// Answers for a path below `/v1/`; none where it is nobody's.
pub(crate) fn answer(shared: &Shared, asked: &Asked, path: &[&str]) -> Option<Answer> {
    let state = shared.state();
    let answer = match path {
        ["capital", "financing_summary"] => match merchant(&state, asked) {
            Ok(account) => Answer::ok(summary::of(&state, account, shared.clock.now())),
            Err(refused) => refused,
        },
        ["capital", "financing_transactions"] => transactions(&state, asked),
        ["capital", "financing_transactions", id] => transaction(&state, asked, id),
        ["charges", id] => charge(&state, asked, id),
        ["transfers", id] => transfer(&state, asked, id),
        ["payouts"] => payouts(&state, asked),
        ["payouts", id] => payout(&state, asked, id),
        ["balance_transactions"] => balance_transactions(&state, asked),
        _ => return None,
    };
    Some(answer)
}

/// The account that the call is made for, or none: the platform itself.
fn caller<'a>(state: &State, asked: &'a Asked) -> Result<Option<&'a str>, Answer> {
    match asked.header("Stripe-Account") {
        None => Ok(None),
        Some(account) if state.accounts.contains_key(account) => Ok(Some(account)),
        Some(account) => {
            let message = format!(
                "The provided key does not have access to account '{account}' (or that account does not exist). \
                 Application access may have been revoked."
            );
            Err(Answer::error(403, "invalid_request_error", Some("account_invalid"), &message))
        }
    }
}

/// What Stripe answers a platform that asks for its own financing is not documented; a refusal shows the mistake.
fn merchant<'a>(state: &State, asked: &'a Asked) -> Result<&'a str, Answer> {
    caller(state, asked)?.ok_or_else(|| {
        Answer::invalid(None, "Financings are an account's own: send Stripe-Account.")
    })
}

fn transactions(state: &State, asked: &Asked) -> Answer {
    const FILTERS: [&str; 4] =
        ["charge", "financing_offer", "reversed_transaction", "treasury_transaction"];
    if let Some(refused) = unknown(asked, &[&FILTERS]) {
        return refused;
    }
    let account = match merchant(state, asked) {
        Ok(account) => account,
        Err(refused) => return refused,
    };
    let fits = |transaction: &&Value| {
        let details = &transaction["details"];
        same(asked, "financing_offer", &transaction["financing_offer"])
            && same(asked, "charge", &details["transaction"]["charge"])
            && same(asked, "reversed_transaction", &details["reversed_transaction"])
            && same(asked, "treasury_transaction", &details["transaction"]["treasury_transaction"])
    };
    page(asked, state.transactions.get(account).into_iter().flatten().rev().filter(fits))
}

fn transaction(state: &State, asked: &Asked, id: &str) -> Answer {
    let account = match merchant(state, asked) {
        Ok(account) => account,
        Err(refused) => return refused,
    };
    let mut all = state.transactions.get(account).into_iter().flatten();
    one(all.find(|transaction| transaction["id"] == id), "financing_transaction", id)
}

/// A charge is seen by its owner alone.
fn charge(state: &State, asked: &Asked, id: &str) -> Answer {
    let caller = match caller(state, asked) {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let kept = state.books.charges.get(id).filter(|kept| kept.account.as_deref() == caller);
    one(kept.map(|kept| &kept.object), "charge", id)
}

/// Transfers are the platform's.
fn transfer(state: &State, asked: &Asked, id: &str) -> Answer {
    match caller(state, asked) {
        Ok(None) => one(state.books.transfers.get(id), "transfer", id),
        Ok(Some(_)) => Answer::missing("transfer", id),
        Err(refused) => refused,
    }
}

/// The caller's balance; the platform's own has nothing in it here.
fn balance<'a>(state: &'a State, asked: &Asked) -> Result<Option<&'a Balance>, Answer> {
    Ok(caller(state, asked)?.and_then(|account| state.books.balances.get(account)))
}

fn payouts(state: &State, asked: &Asked) -> Answer {
    const ARRIVAL: [&str; 5] = [
        "arrival_date",
        "arrival_date[gt]",
        "arrival_date[gte]",
        "arrival_date[lt]",
        "arrival_date[lte]",
    ];
    if let Some(refused) = unknown(asked, &[&["status"], &ARRIVAL, &CREATED]) {
        return refused;
    }
    let balance = match balance(state, asked) {
        Ok(balance) => balance,
        Err(refused) => return refused,
    };
    let fits = |payout: &&Value| {
        same(asked, "status", &payout["status"])
            && time_fits(payout, "arrival_date", asked)
            && created_fits(payout, asked)
    };
    page(asked, balance.into_iter().flat_map(|balance| balance.payouts.iter().rev()).filter(fits))
}

fn payout(state: &State, asked: &Asked, id: &str) -> Answer {
    let balance = match balance(state, asked) {
        Ok(balance) => balance,
        Err(refused) => return refused,
    };
    let mut all = balance.into_iter().flat_map(|balance| &balance.payouts);
    one(all.find(|payout| payout["id"] == id), "payout", id)
}

/// Those of a payout hold the payout itself too.
fn balance_transactions(state: &State, asked: &Asked) -> Answer {
    if let Some(refused) = unknown(asked, &[&["payout", "source", "type", "currency"], &CREATED]) {
        return refused;
    }
    let Some(balance) = (match balance(state, asked) {
        Ok(balance) => balance,
        Err(refused) => return refused,
    }) else {
        return page(asked, std::iter::empty());
    };
    let payout = asked.query.get("payout");
    let in_payout = |moved: &Value| {
        let of = moved["id"].as_str().and_then(|id| balance.payout_of.get(id));
        payout.is_none_or(|payout| of == Some(payout))
    };
    let fits = |moved: &&Value| {
        in_payout(moved)
            && same(asked, "source", &moved["source"])
            && same(asked, "type", &moved["type"])
            && same(asked, "currency", &moved["currency"])
            && created_fits(moved, asked)
    };
    page(asked, balance.moves.iter().rev().filter(fits))
}

fn one(found: Option<&Value>, what: &str, id: &str) -> Answer {
    found.cloned().map_or_else(|| Answer::missing(what, id), Answer::ok)
}
