//! Events as Stripe sends them: pretty-printed JSON of some 1.2 KB, and the signed requests that carry
//! them. They are numbered, so that each is distinct.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Signs every event of the benchmarks.
pub const SECRET: &str = "whsec_benchmark";

/// The event of a new offer.
pub fn offer_created(number: usize, account: &str, now: DateTime<Utc>) -> Vec<u8> {
    let object = json!({
        "id": format!("financingoffer_1Pgaf{number:019}"),
        "object": "capital.financing_offer",
        "accepted_terms": null,
        "account": account,
        "charged_off_at": null,
        "created": now.timestamp(),
        "expires_after": now.timestamp() + 2_592_000,
        "financing_type": "flex_loan",
        "livemode": false,
        "metadata": {},
        "offered_terms": {
            "advance_amount": 1_250_000,
            "advance_paid_out_amount": null,
            "campaign_type": "newly_eligible_user",
            "currency": "usd",
            "fee_amount": 125_000,
            "previous_financing_fee_discount_rate": null,
            "withhold_rate": 0.15
        },
        "product_type": "standard",
        "replacement": null,
        "replacement_for": null,
        "status": "undelivered",
        "type": "flex_loan"
    });
    event("capital.financing_offer.created", &format!("evt_1Offer{number:018}"), &object, now)
}

/// The event of a share that was withheld from a sale.
pub fn transaction_created(
    number: usize,
    account: &str,
    offer: &str,
    now: DateTime<Utc>,
) -> Vec<u8> {
    let charge = format!("py_1Pgaf{number:019}");
    let object = json!({
        "id": format!("cptxn_1Pgaf{number:019}"),
        "object": "capital.financing_transaction",
        "account": account,
        "created_at": now.timestamp(),
        "details": {
            "advance_amount": 1364,
            "currency": "usd",
            "fee_amount": 136,
            "linked_payment": charge,
            "reason": "automatic_withholding",
            "total_amount": 1500,
            "transaction": {"charge": charge}
        },
        "financing_offer": offer,
        "legacy_balance_transaction_source": format!("cptxn_legacy_1Pgaf{number:019}"),
        "livemode": false,
        "type": "payment",
        "user_facing_description": "Paydown of your loan"
    });
    event("capital.financing_transaction.created", &format!("evt_1Txn{number:020}"), &object, now)
}

fn event(event_type: &str, id: &str, object: &Value, now: DateTime<Utc>) -> Vec<u8> {
    let event = json!({
        "id": id,
        "object": "event",
        "api_version": "2025-09-30.preview",
        "created": now.timestamp(),
        "data": {"object": object},
        "livemode": false,
        "pending_webhooks": 1,
        "request": {"id": null, "idempotency_key": null},
        "type": event_type
    });
    serde_json::to_vec_pretty(&event).unwrap()
}
