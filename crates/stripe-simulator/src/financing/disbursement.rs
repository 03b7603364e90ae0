//! The advance. A refill settles the financing before it or runs beside it, as the market has it
//! (<https://docs.stripe.com/capital/refills>).

use std::collections::BTreeMap;

use serde_json::Value;

use super::balance::{NewBalanceTransaction, pay_out, post};
use super::payment::{NewPayment, finish, pay};
use super::transaction::{NewTransaction, record};
use crate::state::balance::Fund;
use crate::state::change::Change;
use crate::state::journal::Movement;
use crate::state::ledger::{AmountParts, Discount, Financing, PaymentSource};
use crate::state::offer::text;
use crate::state::product::{Product, Refills, schedule_of};

const DESCRIPTION: &str = "Payout of your loan";

/// Pays out an approved offer, less what a refill settles (taking it from the advance is an
/// assumption). An offer of nothing, which only a test can make, begins no financing.
pub(crate) fn disburse(change: &mut Change<'_>, id: &str) {
    let Some(offer) = change.state.offers.get(id).cloned() else { return };
    let Some(mut financing) = financing_of(&offer, change) else { return };
    financing.payout = credit_advance(change, &financing);
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    let before: Vec<String> = match offer["product_type"].as_str() {
        Some("refill") => of_active(change, &account),
        _ => Vec::new(),
    };
    let refills = Product::refills(
        change.state.accounts.country(&account),
        offer["financing_type"].as_str().unwrap_or_default(),
    );
    let has_discount = discount_rate(&offer) > 0.0;
    financing.changed_another = !before.is_empty() && (refills == Refills::Settle || has_discount);
    let movement = Movement::Advance {
        offer: id.to_owned(),
        currency: currency.clone(),
        advance_minor: financing.terms.advance,
        fee_minor: financing.terms.fee,
    };
    change.record(&account, movement);
    change.state.ledger.financings.push(financing);
    if let Some(newest) = before.last() {
        discount(change, newest, &offer);
    }
    for old in before {
        let financing = change.state.ledger.active_mut(&old);
        let remaining_minor = financing.map_or(0, |financing| financing.remaining().total());
        if remaining_minor == 0 {
            finish(change, &old);
        } else if refills == Refills::Settle {
            let payment = NewPayment {
                offer: &old,
                minor: remaining_minor,
                reason: "refill",
                from: PaymentSource::Balance,
                charge: None,
            };
            // It cannot fail: the financing is active, and this is what remains of it.
            let _ = pay(change, &payment);
        }
    }
    pay_out(change, &account, &currency, Fund::Financing);
}

/// The active financings of an account, oldest first.
fn of_active(change: &Change<'_>, account: &str) -> Vec<String> {
    change.state.ledger.active(account).map(|financing| financing.offer.clone()).collect()
}

/// Lowers an old financing's fee by the refill's share of what remains of it, rounded down. That
/// the discount shortens a financing that runs on, in markets where refills stack, is an
/// assumption.
fn discount(change: &mut Change<'_>, old: &str, refill: &Value) {
    let Ok(financing) = change.state.ledger.active_mut(old) else { return };
    #[expect(clippy::cast_precision_loss, reason = "a fee, far below 2^53")]
    let fee = financing.remaining().fee as f64;
    #[expect(clippy::cast_possible_truncation, reason = "no more than the fee")]
    let minor = (fee * discount_rate(refill)).floor() as i64;
    if minor > 0 && financing.discount.is_none() {
        financing.discount = Some(Discount { refill: text(&refill["id"]), minor });
        let account = financing.account.clone();
        change.record(&account, Movement::Discount { offer: old.to_owned(), minor });
    }
}

fn discount_rate(refill: &Value) -> f64 {
    let rate = refill["offered_terms"]["previous_financing_fee_discount_rate"].as_f64();
    rate.unwrap_or_default().clamp(0.0, 1.0)
}

/// Returns the id of the financing transaction.
fn credit_advance(change: &mut Change<'_>, financing: &Financing) -> String {
    let source = change.state.new_id("fnpo_");
    let transaction = NewTransaction {
        account: &financing.account,
        offer: &financing.offer,
        currency: &financing.currency,
        kind: "payout",
        reason: None,
        amount: financing.terms,
        description: DESCRIPTION,
        charge: None,
        reverses: None,
        source: Some(source.clone()),
    };
    let id = record(change, transaction);
    let credit = NewBalanceTransaction {
        fund: Fund::Financing,
        currency: &financing.currency,
        kind: "financing_payout",
        category: "financing_payout",
        amount: financing.terms.advance,
        fees: Vec::new(),
        source: &source,
        description: DESCRIPTION,
    };
    post(change, &financing.account, &credit);
    id
}

fn financing_of(offer: &Value, change: &Change<'_>) -> Option<Financing> {
    let accepted = &offer["accepted_terms"];
    let amount = |name: &str| accepted[name].as_i64().unwrap_or_default();
    let terms = AmountParts { advance: amount("advance_amount"), fee: amount("fee_amount") };
    if terms.advance < 0 || terms.fee < 0 || terms.total() == 0 {
        return None;
    }
    let rate = accepted["withhold_rate"].as_f64().unwrap_or_default().clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, reason = "between nothing and a million")]
    let rate_millionths = (rate * 1e6).round() as i64;
    let account = text(&offer["account"]);
    Some(Financing {
        offer: text(&offer["id"]),
        currency: text(&accepted["currency"]),
        terms,
        rate_millionths,
        schedule: schedule_of(change.state.accounts.country(&account), offer),
        paid_out_at: change.now,
        payout: String::new(),
        changed_another: false,
        repaid: AmountParts::default(),
        discount: None,
        repaid_in_interval: BTreeMap::new(),
        is_active: true,
        account,
    })
}
