//! `capital.financing_transaction` (<https://docs.stripe.com/api/capital/financing_transactions>).

use serde_json::{Value, json};

use crate::state::change::Change;
use crate::state::ledger::AmountParts;

pub(crate) struct NewTransaction<'a> {
    pub(crate) account: &'a str,
    pub(crate) offer: &'a str,
    pub(crate) currency: &'a str,
    /// `payment`, `payout` or `reversal`.
    pub(crate) kind: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) amount: AmountParts,
    pub(crate) description: &'static str,
    /// The charge that it was withheld from.
    pub(crate) charge: Option<&'a str>,
    pub(crate) reverses: Option<&'a str>,
    /// The source of the balance transaction that belongs to it.
    pub(crate) source: Option<String>,
}

/// Stores a transaction and emits its event. Amounts have no sign: `type` says which way they go.
pub(crate) fn record(change: &mut Change<'_>, new: NewTransaction<'_>) -> String {
    let id = change.state.new_id("cptxn_");
    let mut details = json!({
        "advance_amount": new.amount.advance, "fee_amount": new.amount.fee,
        "total_amount": new.amount.total(), "currency": new.currency,
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
        "id": id, "object": "capital.financing_transaction", "account": new.account,
        "created_at": change.now.timestamp(), "financing_offer": new.offer,
        "livemode": change.state.livemode, "type": new.kind, "details": details,
        "user_facing_description": new.description,
    });
    if let Some(source) = new.source {
        transaction["legacy_balance_transaction_source"] = Value::String(source);
    }
    let of_account = change.state.transactions.entry(new.account.to_owned()).or_default();
    of_account.push(transaction.clone());
    change.emit("capital.financing_transaction.created", &transaction);
    id
}
