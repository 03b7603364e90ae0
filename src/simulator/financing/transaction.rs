//! `capital.financing_transaction`, by the reference (<https://docs.stripe.com/api/capital/financing_transactions>).

use serde_json::{Value, json};

use super::Split;
use crate::simulator::events::Act;

/// A transaction to be.
pub(super) struct New<'a> {
    pub(super) account: &'a str,
    pub(super) offer: &'a str,
    pub(super) currency: &'a str,
    /// `payment`, `payout` or `reversal`.
    pub(super) kind: &'static str,
    pub(super) reason: Option<&'static str>,
    pub(super) part: Split,
    pub(super) description: &'static str,
    /// The sale that it was withheld from.
    pub(super) charge: Option<&'a str>,
    pub(super) reverses: Option<&'a str>,
    /// What moved the account's balance for it.
    pub(super) source: Option<String>,
}

/// Keeps a transaction and announces it. Amounts have no sign: the kind says which way they go.
pub(super) fn record(act: &mut Act<'_>, new: New<'_>) -> String {
    let id = act.state.new_id("cptxn_");
    let mut details = json!({
        "advance_amount": new.part.advance, "fee_amount": new.part.fee, "total_amount": new.part.total(),
        "currency": new.currency,
    });
    let optional = [
        ("reason", new.reason),
        ("linked_payment", new.charge),
        ("reversed_transaction", new.reverses),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            details[name] = json!(value);
        }
    }
    if let Some(charge) = new.charge {
        details["transaction"] = json!({"charge": charge});
    }
    let mut transaction = json!({
        "id": id, "object": "capital.financing_transaction", "account": new.account, "created_at": act.now.timestamp(),
        "financing_offer": new.offer, "livemode": false, "type": new.kind, "details": details,
        "user_facing_description": new.description,
    });
    if let Some(source) = new.source {
        transaction["legacy_balance_transaction_source"] = Value::String(source);
    }
    act.state.transactions.entry(new.account.to_owned()).or_default().push(transaction.clone());
    act.tell("capital.financing_transaction.created", &transaction);
    id
}
