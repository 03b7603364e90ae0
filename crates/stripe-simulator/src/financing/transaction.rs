//! `capital.financing_transaction`, by the reference (<https://docs.stripe.com/api/capital/financing_transactions>).

use serde_json::{Value, json};

use super::Split;
use crate::events::Act;

/// A transaction to be.
pub(crate) struct New<'a> {
    pub(crate) account: &'a str,
    pub(crate) offer: &'a str,
    pub(crate) currency: &'a str,
    /// `payment`, `payout` or `reversal`.
    pub(crate) kind: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) part: Split,
    pub(crate) description: &'static str,
    /// The sale that it was withheld from.
    pub(crate) charge: Option<&'a str>,
    pub(crate) reverses: Option<&'a str>,
    /// What moved the account's balance for it.
    pub(crate) source: Option<String>,
}

/// Keeps a transaction and announces it. Amounts have no sign: the kind says which way they go.
pub(crate) fn record(act: &mut Act<'_>, new: New<'_>) -> String {
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
