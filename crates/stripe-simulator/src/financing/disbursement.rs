//! The advance. A refill settles the financing before it or runs beside it, as the market has it
//! (<https://docs.stripe.com/capital/refills>).

use std::collections::BTreeMap;

use serde_json::Value;

use super::balance::{NewBalanceTransaction, pay_out, post};
use super::payment::{NewPayment, pay};
use super::transaction::{NewTransaction, record};
use crate::state::balance::Fund;
use crate::state::change::Change;
use crate::state::journal::Movement;
use crate::state::ledger::{ActiveFinancing, AmountParts, Financing, PaymentSource};
use crate::state::offer::text;

const DESCRIPTION: &str = "Payout of your loan";

/// Pays out an approved offer, less what a refill settles (taking it from the advance is an
/// assumption). An offer of nothing, which only a test can make, begins no financing.
pub(crate) fn disburse(change: &mut Change<'_>, id: &str) {
    let Some(offer) = change.state.offers.get(id).cloned() else { return };
    let Some(mut financing) = financing_of(&offer, change) else { return };
    financing.payout = credit_advance(change, &financing);
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    let settled = settled_by(change, &offer, &account);
    financing.settled_another = !settled.is_empty();
    let movement = Movement::Advance {
        offer: id.to_owned(),
        currency: currency.clone(),
        advance_minor: financing.terms.advance,
        fee_minor: financing.terms.fee,
    };
    change.record(&account, movement);
    change.state.ledger.financings.push(financing);
    for ActiveFinancing { offer, remaining_minor } in settled {
        let payment = NewPayment {
            offer: &offer,
            minor: remaining_minor,
            reason: "refill",
            from: PaymentSource::Balance,
            charge: None,
        };
        // It cannot fail: the financing is active, and this is what remains of it.
        let _ = pay(change, &payment);
    }
    pay_out(change, &account, &currency, Fund::Financing);
}

/// The financings that a refill pays off.
fn settled_by(change: &Change<'_>, offer: &Value, account: &str) -> Vec<ActiveFinancing> {
    let is_refill = offer["product_type"] == "refill";
    if is_refill && !change.state.accounts.market(account).stacks_refills {
        change.state.ledger.remaining(account)
    } else {
        Vec::new()
    }
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
    Some(Financing {
        offer: text(&offer["id"]),
        account: text(&offer["account"]),
        currency: text(&accepted["currency"]),
        terms,
        rate_millionths,
        has_minimum: offer["financing_type"] == "flex_loan",
        paid_out_at: change.now,
        payout: String::new(),
        settled_another: false,
        repaid: AmountParts::default(),
        repaid_in_interval: BTreeMap::new(),
        is_active: true,
    })
}
