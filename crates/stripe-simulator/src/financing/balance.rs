//! Balance transactions (<https://docs.stripe.com/api/balance_transactions>) and payouts to the merchant's bank
//! (<https://docs.stripe.com/api/payouts>).
//!
//! An advance comes into a balance of its own, which a payout of its own empties at once; it never mixes with sales
//! (<https://docs.stripe.com/capital/connect-integration>). There Stripe documents `financing_payout` as `type` and
//! `reporting_category`. Of `financing_payout_reversal`, `financing_paydown` and `financing_paydown_reversal` it documents the
//! categories alone; that `type` has the same words is what programs in the field expect. What the ids in `source` look like is
//! documented nowhere.

use std::collections::BTreeMap;

use chrono::{Days, NaiveTime};
use serde_json::{Value, json};

use crate::events::Act;
use crate::state::State;

/// An account's money at Stripe.
#[derive(Default)]
pub(crate) struct Balance {
    by_source: BTreeMap<(String, Source), Purse>,
    /// Balance transactions, oldest first.
    pub(crate) moves: Vec<Value>,
    pub(crate) payouts: Vec<Value>,
    /// The payout that took each balance transaction to the bank.
    pub(crate) payout_of: BTreeMap<String, String>,
}

/// Which part of a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Sales,
    Financing,
}

#[derive(Default)]
struct Purse {
    available: i64,
    /// What no payout took yet.
    fresh: Vec<String>,
}

/// A movement to be. Amounts are minor units; out of the balance they are below zero.
pub(crate) struct Move<'a> {
    pub(crate) of: Source,
    pub(crate) currency: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) category: &'static str,
    pub(crate) amount: i64,
    pub(crate) fees: Vec<(&'static str, i64)>,
    pub(crate) source: &'a str,
    pub(crate) description: &'static str,
}

/// Moves an account's balance. Gives the balance transaction's id.
pub(crate) fn book(act: &mut Act<'_>, account: &str, made: &Move<'_>) -> String {
    let id = act.state.new_id("txn_");
    let fee: i64 = made.fees.iter().map(|(_, fee)| fee).sum();
    let detail = |(kind, amount): &(&str, i64)| json!({"amount": amount, "application": null, "currency": made.currency, "description": null, "type": kind});
    let moved = json!({
        "id": id, "object": "balance_transaction", "amount": made.amount, "fee": fee, "net": made.amount - fee,
        "available_on": act.now.timestamp(), "created": act.now.timestamp(), "currency": made.currency,
        "description": made.description, "exchange_rate": null, "status": "available", "type": made.kind,
        "fee_details": made.fees.iter().map(detail).collect::<Vec<_>>(),
        "reporting_category": made.category, "source": made.source,
    });
    let balance = act.state.books.balances.entry(account.to_owned()).or_default();
    let purse = balance.by_source.entry((made.currency.to_owned(), made.of)).or_default();
    purse.available += made.amount - fee;
    purse.fresh.push(id.clone());
    balance.moves.push(moved);
    id
}

/// Sends all that an account has of sales in its own currency to its bank.
pub(crate) fn pay_out(act: &mut Act<'_>, account: &str) -> Option<String> {
    let currency = currency_of(act.state, account);
    send(act, account, &currency, Source::Sales)
}

/// Gives the payout's id; none where there is nothing to send.
pub(crate) fn send(act: &mut Act<'_>, account: &str, currency: &str, of: Source) -> Option<String> {
    let key = (currency.to_owned(), of);
    let available = act.state.books.balances.get(account)?.by_source.get(&key)?.available;
    if available <= 0 {
        return None;
    }
    let id = act.state.new_id("po_");
    let out = Move {
        of,
        currency,
        kind: "payout",
        category: "payout",
        amount: -available,
        fees: Vec::new(),
        source: &id,
        description: "STRIPE PAYOUT",
    };
    let moved = book(act, account, &out);
    let source_type = match of {
        Source::Sales => "card",
        Source::Financing => "financing",
    };
    // A date, which Stripe writes as its midnight in UTC: tomorrow's.
    let arrives = (act.now.date_naive() + Days::new(1)).and_time(NaiveTime::MIN).and_utc();
    let payout = json!({
        "id": id, "object": "payout", "amount": available, "arrival_date": arrives.timestamp(), "automatic": true,
        "balance_transaction": moved, "created": act.now.timestamp(), "currency": currency, "description": out.description,
        "destination": null, "livemode": false, "metadata": {}, "method": "standard",
        "reconciliation_status": "completed", "source_type": source_type, "status": "paid", "type": "bank_account",
    });
    act.state.books.ledger.sent(account, of, (&id, available));
    let balance = act.state.books.balances.get_mut(account)?;
    let taken = std::mem::take(&mut balance.by_source.get_mut(&key)?.fresh);
    balance.payout_of.extend(taken.into_iter().map(|moved| (moved, id.clone())));
    balance.payouts.push(payout);
    Some(id)
}

/// The currency that an account is paid in.
pub(crate) fn currency_of(state: &State, account: &str) -> String {
    let currency =
        state.accounts.get(account).and_then(|account| account["default_currency"].as_str());
    currency.unwrap_or("usd").to_owned()
}
