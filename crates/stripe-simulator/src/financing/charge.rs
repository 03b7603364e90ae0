//! Sales, their refunds, and what is withheld from a sale
//! (<https://docs.stripe.com/connect/charges>).
//!
//! A direct charge (`ch_…`) is the merchant's own. A destination charge (`ch_…`) is the platform's,
//! and its transfer (`tr_…`) arrives at the merchant as a payment (`py_…`). The withheld share is
//! taken of the whole direct charge, the application fee included, or of the transfer.

use serde_json::{Value, json};

use super::balance::{NewBalanceTransaction, post};
use super::payment::{NewPayment, pay};
use crate::error::ActionError;
use crate::state::StoredCharge;
use crate::state::balance::Fund;
use crate::state::change::Change;
use crate::state::journal::Movement;
use crate::state::ledger::{Financing, PaymentSource};

/// A sale, in minor units of the account's currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewCharge {
    /// What the customer pays.
    pub amount: i64,
    pub kind: ChargeKind,
}

/// Whose charge it is, and the part of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeKind {
    /// The merchant's.
    Direct { application_fee: i64 },
    /// The platform's.
    Destination { transfer_amount: i64 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeOutcome {
    /// The charge on the merchant's account: `ch_…` or `py_…`.
    pub charge: String,
    /// The platform's `ch_…` of a destination charge.
    pub platform_charge: Option<String>,
    /// For all financings.
    pub withheld_minor: i64,
    /// The financing transactions: one for each financing that got a part.
    pub transactions: Vec<String>,
}

/// Stripe's fee for cards in the United States, so that net amounts cannot be guessed from gross.
fn processing_fee(amount: i64) -> i64 {
    (amount * 29 / 1000 + 30).min(amount)
}

pub(crate) fn charge(
    change: &mut Change<'_>,
    account: &str,
    new: &NewCharge,
) -> Result<ChargeOutcome, ActionError> {
    let part = match new.kind {
        ChargeKind::Direct { application_fee } => application_fee,
        ChargeKind::Destination { transfer_amount } => transfer_amount,
    };
    if !change.state.accounts.contains(account) {
        return Err(ActionError::new("there is no such account"));
    }
    if new.amount <= 0 || !(0..=new.amount).contains(&part) {
        return Err(ActionError::new("the amount must be positive and no less than its part"));
    }
    let currency = change.state.accounts.currency(account);
    let (id, platform_charge, base) = match new.kind {
        ChargeKind::Direct { application_fee } => {
            let id = direct(change, account, &currency, (new.amount, application_fee));
            (id, None, new.amount)
        }
        ChargeKind::Destination { transfer_amount } => {
            let amounts = (new.amount, transfer_amount);
            let (payment, platform) = destination(change, account, &currency, amounts);
            (payment, Some(platform), transfer_amount)
        }
    };
    let withheld = withhold(change, account, &currency, (&id, base));
    let withheld_minor = withheld.iter().map(|(_, minor)| minor).sum();
    let transactions = withheld.into_iter().map(|(id, _)| id).collect();
    Ok(ChargeOutcome { charge: id, platform_charge, withheld_minor, transactions })
}

fn direct(
    change: &mut Change<'_>,
    account: &str,
    currency: &str,
    (amount, application_fee): (i64, i64),
) -> String {
    let id = change.state.new_id("ch_");
    let stripe_fee = processing_fee(amount).min(amount - application_fee);
    let credit = NewBalanceTransaction {
        fund: Fund::Sales,
        currency,
        kind: "charge",
        category: "charge",
        amount,
        fees: vec![("application_fee", application_fee), ("stripe_fee", stripe_fee)],
        source: &id,
        description: "A sale",
    };
    let transaction = post(change, account, &credit);
    let mut object = charge_object(change, &id, (amount, currency));
    object["balance_transaction"] = json!(transaction);
    object["application_fee_amount"] = json!(application_fee);
    change.record(account, Movement::Sale { net_minor: amount - application_fee - stripe_fee });
    store(change, &id, Some(account), object);
    id
}

/// Returns the payment on the merchant's account and the platform's charge.
fn destination(
    change: &mut Change<'_>,
    account: &str,
    currency: &str,
    (amount, transfer_amount): (i64, i64),
) -> (String, String) {
    let [platform, transfer, payment] =
        ["ch_", "tr_", "py_"].map(|prefix| change.state.new_id(prefix));
    let mut platform_charge = charge_object(change, &platform, (amount, currency));
    platform_charge["transfer"] = json!(transfer);
    platform_charge["transfer_data"] = json!({"amount": transfer_amount, "destination": account});
    platform_charge["destination"] = json!(account);
    let transfer_object = json!({
        "id": transfer, "object": "transfer", "amount": transfer_amount, "amount_reversed": 0,
        "balance_transaction": null, "created": change.now.timestamp(), "currency": currency,
        "description": null, "destination": account, "destination_payment": payment,
        "livemode": change.state.livemode, "metadata": {}, "reversed": false,
        "source_transaction": platform, "source_type": "card", "transfer_group": null,
    });
    change.state.transfers.insert(transfer.clone(), transfer_object);
    let credit = NewBalanceTransaction {
        fund: Fund::Sales,
        currency,
        kind: "payment",
        category: "charge",
        amount: transfer_amount,
        fees: Vec::new(),
        source: &payment,
        description: "A sale through the platform",
    };
    let transaction = post(change, account, &credit);
    let mut merchant_charge = charge_object(change, &payment, (transfer_amount, currency));
    merchant_charge["balance_transaction"] = json!(transaction);
    merchant_charge["source_transfer"] = json!(transfer);
    change.record(account, Movement::Sale { net_minor: transfer_amount });
    store(change, &platform, None, platform_charge);
    store(change, &payment, Some(account), merchant_charge);
    (payment, platform)
}

fn charge_object(change: &Change<'_>, id: &str, (amount, currency): (i64, &str)) -> Value {
    json!({
        "id": id, "object": "charge", "amount": amount, "amount_captured": amount,
        "amount_refunded": 0, "application_fee_amount": null, "balance_transaction": null,
        "captured": true, "created": change.now.timestamp(), "currency": currency,
        "description": null, "destination": null, "livemode": change.state.livemode,
        "metadata": {}, "paid": true, "refunded": false, "source_transfer": null,
        "status": "succeeded", "transfer": null,
    })
}

fn store(change: &mut Change<'_>, id: &str, account: Option<&str>, object: Value) {
    let stored = StoredCharge { account: account.map(str::to_owned), object };
    change.state.charges.insert(id.to_owned(), stored);
}

/// By the newest financing's rate, and to the oldest financing first
/// (<https://docs.stripe.com/capital/refills>, where refills stack). A fixed-term loan takes no
/// more than an interval's maximum.
fn withhold(
    change: &mut Change<'_>,
    account: &str,
    currency: &str,
    (charge_id, base): (&str, i64),
) -> Vec<(String, i64)> {
    let fits = |financing: &&Financing| financing.currency == currency;
    let active = change.state.ledger.active(account).filter(fits);
    let active: Vec<(String, i64)> = active
        .map(|financing| (financing.offer.clone(), financing.withholdable(change.now)))
        .collect();
    let newest = change.state.ledger.active(account).rfind(fits);
    let mut minor = newest.map_or(0, |newest| share(base, newest.rate_millionths));
    let mut withheld = Vec::new();
    for (offer, withholdable) in active {
        let part = minor.min(withholdable);
        let payment = NewPayment {
            offer: &offer,
            minor: part,
            reason: "automatic_withholding",
            from: PaymentSource::Balance,
            charge: Some(charge_id),
        };
        // Fails where nothing is left to withhold.
        if let Ok(transaction) = pay(change, &payment) {
            withheld.push((transaction, part));
            minor -= part;
        }
    }
    withheld
}

/// Rounded to whole minor units; a half goes down.
fn share(base: i64, rate_millionths: i64) -> i64 {
    const MILLION: i128 = 1_000_000;
    let share = (i128::from(base) * i128::from(rate_millionths) + MILLION / 2 - 1) / MILLION;
    i64::try_from(share).expect("no more than the base, as the rate is at most one")
}

/// Returns the refund's id. What was withheld from the charge stays withheld
/// (<https://docs.stripe.com/capital/reporting-and-reconciliation>).
pub(crate) fn refund(
    change: &mut Change<'_>,
    charge_id: &str,
    minor: i64,
) -> Result<String, ActionError> {
    let no_such = || ActionError::new("no account has such a charge");
    let stored = change.state.charges.get_mut(charge_id).ok_or_else(no_such)?;
    let account = stored.account.clone().ok_or_else(no_such)?;
    let amount = stored.object["amount"].as_i64().unwrap_or_default();
    let refunded = stored.object["amount_refunded"].as_i64().unwrap_or_default() + minor;
    if minor <= 0 || refunded > amount {
        return Err(ActionError::new("a refund is positive and no more than the charge"));
    }
    stored.object["amount_refunded"] = json!(refunded);
    stored.object["refunded"] = json!(refunded == amount);
    let is_payment = !stored.object["source_transfer"].is_null();
    let id = change.state.new_id(if is_payment { "pyr_" } else { "re_" });
    let currency = change.state.accounts.currency(&account);
    let debit = NewBalanceTransaction {
        fund: Fund::Sales,
        currency: &currency,
        kind: if is_payment { "payment_refund" } else { "refund" },
        category: "refund",
        amount: -minor,
        fees: Vec::new(),
        source: &id,
        description: "A refund",
    };
    post(change, &account, &debit);
    change.record(&account, Movement::Refund { minor });
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_rounded_to_the_nearest_unit_and_a_half_goes_down() {
        let shares = [
            (10, 150_000),
            (30, 150_000),
            (31, 150_000),
            (50, 10_000),
            (51, 10_000),
            (1, 1_000_000),
            (0, 5),
        ]
        .map(|(base, rate)| share(base, rate));
        assert_eq!(shares, [1, 4, 5, 0, 1, 1, 0]);
    }
}
