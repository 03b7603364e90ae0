//! `capital.financing_summary` (<https://docs.stripe.com/api/capital/financing_summary>).
//!
//! It shows one financing: the newest active one, else what was applied for, else what is offered.
//! The documentation does not say which of two active ones it shows. `advance_paid_out_at` is in
//! milliseconds, as one of Stripe's two descriptions has it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::state::State;
use crate::state::ledger::{Financing, INTERVAL};
use crate::state::offer::current_terms;

/// In so many intervals the minimum payments add up to the total. An assumption, as [`INTERVAL`].
const INTERVALS: i64 = 9;

/// An account's summary.
pub(crate) fn summarize(state: &State, account: &str, now: DateTime<Utc>) -> Value {
    if let Some(financing) = state.ledger.active(account).next_back() {
        return summary("accepted", &financing.offer, &details(state, financing, now));
    }
    for status in ["accepted", "delivered"] {
        let newest = state.offers.of_account(account).find(|offer| offer["status"] == status);
        if let Some(offer) = newest {
            let id = offer["id"].as_str().unwrap_or_default();
            return summary(status, id, &details_before_payout(offer));
        }
    }
    json!({
        "object": "capital.financing_summary", "status": "none", "financing_offer": null,
        "details": null,
    })
}

fn summary(status: &str, offer: &str, details: &Value) -> Value {
    json!({
        "object": "capital.financing_summary", "status": status, "financing_offer": offer,
        "details": details,
    })
}

fn details(state: &State, financing: &Financing, now: DateTime<Utc>) -> Value {
    let offer = state.offers.get(&financing.offer);
    let interval =
        if financing.has_minimum { current_interval(financing, now) } else { Value::Null };
    json!({
        "advance_amount": financing.terms.advance, "fee_amount": financing.terms.fee,
        "currency": financing.currency,
        "withhold_rate": offer.map(|offer| offer["accepted_terms"]["withhold_rate"].clone()),
        "advance_paid_out_at": financing.paid_out_at.timestamp_millis(),
        "repayments_begin_at": financing.paid_out_at.timestamp(),
        "paid_amount": financing.repaid.total(), "remaining_amount": financing.remaining().total(),
        "disclaimer_variant": offer.map(|offer| offer["disclaimer_variant"].clone()),
        "current_repayment_interval": interval,
    })
}

/// The minimum is rounded up, and never more than what remains.
fn current_interval(financing: &Financing, now: DateTime<Utc>) -> Value {
    let number = financing.interval(now);
    let starts_at = financing.paid_out_at.timestamp() + number * INTERVAL.num_seconds();
    let total = financing.terms.total();
    let minimum = total / INTERVALS + i64::from(total % INTERVALS > 0);
    let paid = financing.repaid_in_interval.get(&number).copied().unwrap_or_default();
    let remaining = (minimum - paid).max(0).min(financing.remaining().total());
    json!({
        "starts_at": starts_at, "due_at": starts_at + INTERVAL.num_seconds(),
        "paid_amount": paid, "remaining_amount": remaining,
    })
}

fn details_before_payout(offer: &Value) -> Value {
    let terms = current_terms(offer);
    let amount = |name: &str| terms[name].as_i64().unwrap_or_default();
    json!({
        "advance_amount": amount("advance_amount"), "fee_amount": amount("fee_amount"),
        "currency": terms["currency"], "withhold_rate": terms["withhold_rate"],
        "advance_paid_out_at": null, "repayments_begin_at": null, "paid_amount": 0,
        "remaining_amount": amount("advance_amount") + amount("fee_amount"),
        "disclaimer_variant": offer["disclaimer_variant"], "current_repayment_interval": null,
    })
}
