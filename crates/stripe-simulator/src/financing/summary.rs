//! `capital.financing_summary` (<https://docs.stripe.com/api/capital/financing_summary>).
//!
//! It shows one financing: the newest under way, else what was applied for, else what is offered; where two run side by side the
//! documentation does not say which. `advance_paid_out_at` is in milliseconds, as one of Stripe's two descriptions has it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Financing, PERIOD};
use crate::state::State;

/// In so many periods all is to have come back. An assumption, as `PERIOD` is.
const PERIODS: i64 = 9;

pub(crate) fn of(state: &State, account: &str, now: DateTime<Utc>) -> Value {
    if let Some(financing) = state.books.all_under_way(account).next_back() {
        return shown("accepted", &financing.offer, &details(state, financing, now));
    }
    let newest = |status: &str| {
        let mut offers = state.offers.iter().rev();
        offers.find(|offer| offer["account"] == account && offer["status"] == status)
    };
    for status in ["accepted", "delivered"] {
        if let Some(offer) = newest(status) {
            let id = offer["id"].as_str().unwrap_or_default();
            return shown(status, id, &before_payout(offer));
        }
    }
    json!({"object": "capital.financing_summary", "status": "none", "financing_offer": null, "details": null})
}

fn shown(status: &str, offer: &str, details: &Value) -> Value {
    json!({"object": "capital.financing_summary", "status": status, "financing_offer": offer, "details": details})
}

fn details(state: &State, financing: &Financing, now: DateTime<Utc>) -> Value {
    let variant = state.offer(&financing.offer).map(|offer| offer["disclaimer_variant"].clone());
    let rate =
        state.offer(&financing.offer).map(|offer| offer["accepted_terms"]["withhold_rate"].clone());
    json!({
        "advance_amount": financing.terms.advance, "fee_amount": financing.terms.fee, "currency": financing.currency,
        "withhold_rate": rate, "advance_paid_out_at": financing.paid_out_at.timestamp_millis(),
        "repayments_begin_at": financing.paid_out_at.timestamp(), "paid_amount": financing.came_back.total(),
        "remaining_amount": financing.left().total(), "disclaimer_variant": variant,
        "current_repayment_interval": if financing.has_periods { period(financing, now) } else { Value::Null },
    })
}

/// The minimum is rounded up, so that nine are enough; nobody is asked for more than what is left.
fn period(financing: &Financing, now: DateTime<Utc>) -> Value {
    let number = financing.period(now);
    let begin = financing.paid_out_at.timestamp() + number * PERIOD.num_seconds();
    let total = financing.terms.total();
    let minimum = total / PERIODS + i64::from(total % PERIODS > 0);
    let paid = financing.came_back_in.get(&number).copied().unwrap_or_default();
    let lacks = (minimum - paid).max(0).min(financing.left().total());
    json!({"starts_at": begin, "due_at": begin + PERIOD.num_seconds(), "paid_amount": paid, "remaining_amount": lacks})
}

fn before_payout(offer: &Value) -> Value {
    let terms = if offer["accepted_terms"].is_null() {
        &offer["offered_terms"]
    } else {
        &offer["accepted_terms"]
    };
    let amount = |name: &str| terms[name].as_i64().unwrap_or_default();
    json!({
        "advance_amount": amount("advance_amount"), "fee_amount": amount("fee_amount"), "currency": terms["currency"],
        "withhold_rate": terms["withhold_rate"], "advance_paid_out_at": null, "repayments_begin_at": null,
        "paid_amount": 0, "remaining_amount": amount("advance_amount") + amount("fee_amount"),
        "disclaimer_variant": offer["disclaimer_variant"], "current_repayment_interval": null,
    })
}
