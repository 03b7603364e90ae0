//! `capital.financing_summary` (<https://docs.stripe.com/api/capital/financing_summary>).
//!
//! It shows one financing: the newest active one, else what was applied for, else what is offered.
//! The documentation does not say which of two active ones it shows. `advance_paid_out_at` is in
//! milliseconds, as one of Stripe's two descriptions has it.
//!
//! `total_due_amount`, `overdue_amount`, `enabled_payment_types`, and of the interval `starts_at`
//! and `incremental_interval_target_amount` are fields of Stripe's newest preview. That
//! `total_due_amount` is the advance and the fee, less a discount, is an assumption.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::state::State;
use crate::state::ledger::{Financing, Schedule};
use crate::state::offer::{current_terms, text};
use crate::state::product::Product;

/// An account's summary.
pub(crate) fn summarize(state: &State, account: &str, now: DateTime<Utc>) -> Value {
    if let Some(financing) = state.ledger.active(account).next_back() {
        return summary("accepted", &financing.offer, &details(state, financing, now));
    }
    for status in ["accepted", "delivered"] {
        let newest = state.offers.of_account(account).find(|offer| offer["status"] == status);
        if let Some(offer) = newest {
            let id = offer["id"].as_str().unwrap_or_default();
            return summary(status, id, &details_before_payout(state, offer));
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
    let interval = financing
        .schedule
        .map(|schedule| current_interval(state.sends_preview_fields, financing, schedule, now));
    let mut details = json!({
        "advance_amount": financing.terms.advance, "fee_amount": financing.terms.fee,
        "currency": financing.currency,
        "withhold_rate": offer.map(|offer| offer["accepted_terms"]["withhold_rate"].clone()),
        "advance_paid_out_at": financing.paid_out_at.timestamp_millis(),
        "repayments_begin_at": financing.paid_out_at.timestamp(),
        "paid_amount": financing.repaid.total(), "remaining_amount": financing.remaining().total(),
        "disclaimer_variant": offer.map(|offer| offer["disclaimer_variant"].clone()),
        "current_repayment_interval": interval,
    });
    if state.sends_preview_fields {
        details["total_due_amount"] = json!(financing.due().total());
        let overdue = financing.schedule.map(|_| financing.overdue(now));
        details["overdue_amount"] = json!(overdue);
        details["enabled_payment_types"] = payment_types(state, financing);
    }
    details
}

/// Automatic debits where they are documented.
fn payment_types(state: &State, financing: &Financing) -> Value {
    let offer = state.offers.get(&financing.offer);
    let financing_type = offer.map(|offer| text(&offer["financing_type"])).unwrap_or_default();
    let country = state.accounts.country(&financing.account);
    let product = Product::find(country, &financing_type);
    if product.is_some_and(|product| product.bank_debit == Some(true)) {
        json!(["automatic_debits", "manual_payment", "withholding"])
    } else {
        json!(["manual_payment", "withholding"])
    }
}

/// Never more than what remains.
fn current_interval(
    has_preview_fields: bool,
    financing: &Financing,
    schedule: Schedule,
    now: DateTime<Utc>,
) -> Value {
    let number = financing.interval(now);
    let starts_at = financing.paid_out_at.timestamp() + number * schedule.seconds();
    let paid = financing.repaid_in(number);
    let remaining = (schedule.minimum - paid).max(0).min(financing.remaining().total());
    let mut interval = json!({
        "due_at": starts_at + schedule.seconds(), "duration_days": schedule.days,
        "paid_amount": paid, "remaining_amount": remaining,
    });
    if has_preview_fields {
        interval["starts_at"] = json!(starts_at);
        interval["incremental_interval_target_amount"] = json!(schedule.minimum);
    }
    interval
}

fn details_before_payout(state: &State, offer: &Value) -> Value {
    let terms = current_terms(offer);
    let amount = |name: &str| terms[name].as_i64().unwrap_or_default();
    let total = amount("advance_amount") + amount("fee_amount");
    let mut details = json!({
        "advance_amount": amount("advance_amount"), "fee_amount": amount("fee_amount"),
        "currency": terms["currency"], "withhold_rate": terms["withhold_rate"],
        "advance_paid_out_at": null, "repayments_begin_at": null, "paid_amount": 0,
        "remaining_amount": total,
        "disclaimer_variant": offer["disclaimer_variant"], "current_repayment_interval": null,
    });
    if state.sends_preview_fields {
        details["total_due_amount"] = json!(total);
        details["overdue_amount"] = Value::Null;
    }
    details
}
