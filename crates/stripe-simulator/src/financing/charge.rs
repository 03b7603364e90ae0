//! Sales and their refunds, and what is withheld from a sale (<https://docs.stripe.com/connect/charges>).
//!
//! A direct charge (`ch_…`) is the merchant's own. A destination charge (`ch_…`) is the platform's; its transfer (`tr_…`) arrives at
//! the merchant as a payment (`py_…`). What is withheld is a share of the whole direct charge, the application fee included, or of
//! the transfer.

use serde_json::{Value, json};

use super::balance::{Move, Source, book, currency_of};
use super::paydown::{Paying, pay};
use super::{Financing, PaidFrom};
use crate::buttons::Impossible;
use crate::events::Act;

/// A sale. Minor units of the account's currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What the customer pays.
    pub amount: i64,
    /// Whose charge it is.
    pub kind: ChargeKind,
}

/// Whose charge it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeKind {
    /// The merchant's.
    Direct {
        /// The platform's part.
        application_fee: i64,
    },
    /// The platform's, which hands a part on.
    Destination {
        /// The merchant's part.
        transfer_amount: i64,
    },
}

/// What became of a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The charge on the merchant's account: `ch_…` or `py_…`.
    pub charge: String,
    /// The platform's own `ch_…` of a destination charge.
    pub platform_charge: Option<String>,
    /// What was withheld, of all financings.
    pub withheld_minor: i64,
    /// The transactions that say so: one for each financing that got a part.
    pub transactions: Vec<String>,
}

/// A charge and whose it is: none is the platform.
pub(crate) struct Kept {
    pub(crate) account: Option<String>,
    pub(crate) object: Value,
}

/// Stripe's own fee for cards in the US; it makes net amounts that nobody can guess from the gross ones.
fn processing_fee(amount: i64) -> i64 {
    (amount * 29 / 1000 + 30).min(amount)
}

pub(crate) fn charge(
    act: &mut Act<'_>,
    account: &str,
    charge: &Charge,
) -> Result<Charged, Impossible> {
    let part = match charge.kind {
        ChargeKind::Direct { application_fee } => application_fee,
        ChargeKind::Destination { transfer_amount } => transfer_amount,
    };
    if !act.state.accounts.contains_key(account) {
        return Err(Impossible("no such account".to_owned()));
    }
    if charge.amount <= 0 || !(0..=charge.amount).contains(&part) {
        return Err(Impossible(
            "a charge has an amount, and its part is no more than that".to_owned(),
        ));
    }
    let currency = currency_of(act.state, account);
    let (id, platform_charge, base) = match charge.kind {
        ChargeKind::Direct { application_fee } => {
            (direct(act, account, &currency, (charge.amount, application_fee)), None, charge.amount)
        }
        ChargeKind::Destination { transfer_amount } => {
            let (payment, platform) =
                destination(act, account, &currency, (charge.amount, transfer_amount));
            (payment, Some(platform), transfer_amount)
        }
    };
    let withheld = withhold(act, account, &currency, (&id, base));
    let withheld_minor = withheld.iter().map(|(_, minor)| minor).sum();
    let transactions = withheld.into_iter().map(|(id, _)| id).collect();
    Ok(Charged { charge: id, platform_charge, withheld_minor, transactions })
}

fn direct(
    act: &mut Act<'_>,
    account: &str,
    currency: &str,
    (amount, application_fee): (i64, i64),
) -> String {
    let id = act.state.new_id("ch_");
    let stripe_fee = processing_fee(amount).min(amount - application_fee);
    let sale = Move {
        of: Source::Sales,
        currency,
        kind: "charge",
        category: "charge",
        amount,
        fees: vec![("application_fee", application_fee), ("stripe_fee", stripe_fee)],
        source: &id,
        description: "A sale",
    };
    let moved = book(act, account, &sale);
    let mut object = object(act, &id, (amount, currency));
    object["balance_transaction"] = json!(moved);
    object["application_fee_amount"] = json!(application_fee);
    act.state.books.ledger.sold(account, amount - application_fee - stripe_fee);
    keep(act, id, Some(account), object)
}

/// Gives the payment on the merchant's account and the platform's charge.
fn destination(
    act: &mut Act<'_>,
    account: &str,
    currency: &str,
    (amount, transfer_amount): (i64, i64),
) -> (String, String) {
    let ids = ["ch_", "tr_", "py_"].map(|prefix| act.state.new_id(prefix));
    let [platform, transfer, payment] = &ids;
    let mut platforms = object(act, platform, (amount, currency));
    platforms["transfer"] = json!(transfer);
    platforms["transfer_data"] = json!({"amount": transfer_amount, "destination": account});
    platforms["destination"] = json!(account);
    let handed_on = json!({
        "id": transfer, "object": "transfer", "amount": transfer_amount, "amount_reversed": 0, "balance_transaction": null,
        "created": act.now.timestamp(), "currency": currency, "description": null, "destination": account,
        "destination_payment": payment, "livemode": false, "metadata": {}, "reversed": false, "source_transaction": platform,
        "source_type": "card", "transfer_group": null,
    });
    act.state.books.transfers.insert(transfer.clone(), handed_on);
    let sale = Move {
        of: Source::Sales,
        currency,
        kind: "payment",
        category: "charge",
        amount: transfer_amount,
        fees: Vec::new(),
        source: payment,
        description: "A sale through the platform",
    };
    let moved = book(act, account, &sale);
    let mut merchants = object(act, payment, (transfer_amount, currency));
    merchants["balance_transaction"] = json!(moved);
    merchants["source_transfer"] = json!(transfer);
    act.state.books.ledger.sold(account, transfer_amount);
    keep(act, platform.clone(), None, platforms);
    keep(act, payment.clone(), Some(account), merchants);
    (payment.clone(), platform.clone())
}

fn object(act: &Act<'_>, id: &str, (amount, currency): (i64, &str)) -> Value {
    json!({
        "id": id, "object": "charge", "amount": amount, "amount_captured": amount, "amount_refunded": 0,
        "application_fee_amount": null, "balance_transaction": null, "captured": true, "created": act.now.timestamp(),
        "currency": currency, "description": null, "destination": null, "livemode": false, "metadata": {}, "paid": true,
        "refunded": false, "source_transfer": null, "status": "succeeded", "transfer": null,
    })
}

fn keep(act: &mut Act<'_>, id: String, account: Option<&str>, object: Value) -> String {
    let kept = Kept { account: account.map(str::to_owned), object };
    act.state.books.charges.insert(id.clone(), kept);
    id
}

/// By the newest financing's rate, and to the oldest one first (<https://docs.stripe.com/capital/refills>, where refills stack).
fn withhold(
    act: &mut Act<'_>,
    account: &str,
    currency: &str,
    (charge, base): (&str, i64),
) -> Vec<(String, i64)> {
    let fits = |financing: &&Financing| financing.currency == currency;
    let under_way = act.state.books.all_under_way(account).filter(fits);
    let lacking: Vec<(String, i64)> =
        under_way.map(|financing| (financing.offer.clone(), financing.left().total())).collect();
    let newest = act.state.books.all_under_way(account).rfind(fits);
    let mut minor = newest.map_or(0, |newest| share_of(base, newest.rate_millionths));
    let mut withheld = Vec::new();
    for (offer, lacks) in lacking {
        let part = minor.min(lacks);
        let paying = Paying {
            offer: &offer,
            minor: part,
            reason: "automatic_withholding",
            from: PaidFrom::Balance,
            charge: Some(charge),
        };
        // Nothing of nothing is no payment.
        if let Ok(transaction) = pay(act, &paying) {
            withheld.push((transaction, part));
            minor -= part;
        }
    }
    withheld
}

/// To whole minor units; a half goes down.
fn share_of(base: i64, rate_millionths: i64) -> i64 {
    const MILLION: i128 = 1_000_000;
    let share = (i128::from(base) * i128::from(rate_millionths) + MILLION / 2 - 1) / MILLION;
    i64::try_from(share).expect("no more than the base, as the rate is at most one")
}

pub(crate) fn refund(act: &mut Act<'_>, charge: &str, minor: i64) -> Result<String, Impossible> {
    let no_such = || Impossible("no account has such a charge".to_owned());
    let kept = act.state.books.charges.get_mut(charge).ok_or_else(no_such)?;
    let account = kept.account.clone().ok_or_else(no_such)?;
    let amount = kept.object["amount"].as_i64().unwrap_or_default();
    let refunded = kept.object["amount_refunded"].as_i64().unwrap_or_default() + minor;
    if minor <= 0 || refunded > amount {
        return Err(Impossible("no more can go back than came in".to_owned()));
    }
    kept.object["amount_refunded"] = json!(refunded);
    kept.object["refunded"] = json!(refunded == amount);
    let is_payment = !kept.object["source_transfer"].is_null();
    let id = act.state.new_id(if is_payment { "pyr_" } else { "re_" });
    let currency = currency_of(act.state, &account);
    let given_back = Move {
        of: Source::Sales,
        currency: &currency,
        kind: if is_payment { "payment_refund" } else { "refund" },
        category: "refund",
        amount: -minor,
        fees: Vec::new(),
        source: &id,
        description: "A refund",
    };
    book(act, &account, &given_back);
    act.state.books.ledger.refunded(&account, minor);
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::share_of;

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
        .map(|(base, rate)| share_of(base, rate));
        assert_eq!(shares, [1, 4, 5, 0, 1, 1, 0]);
    }
}
