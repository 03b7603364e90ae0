//! The money to the merchant. A refill settles the financing before it, or stands beside it, as the account's country has it
//! (<https://docs.stripe.com/capital/refills>).

use serde_json::Value;

use super::balance::{Move, Source, book, send};
use super::paydown::{Paying, pay};
use super::transaction::{New, record};
use super::{Financing, PaidFrom, Split};
use crate::events::Act;

/// Pays out an offer that was approved, less what a refill settles (that it is taken from there is an assumption). One that is worth nothing, as a test may make it, begins no financing.
pub(crate) fn disburse(act: &mut Act<'_>, id: &str) {
    let Some(offer) = act.state.offer(id).cloned() else { return };
    let Some(mut financing) = read(&offer, act) else { return };
    let source = act.state.new_id("fnpo_");
    let Financing { account, currency, terms, .. } = &financing;
    let payout = New {
        account,
        offer: id,
        currency,
        kind: "payout",
        reason: None,
        part: *terms,
        description: "Payout of your loan",
        charge: None,
        reverses: None,
        source: Some(source.clone()),
    };
    financing.payout = record(act, payout);
    let money = Move {
        of: Source::Financing,
        currency: &financing.currency,
        kind: "financing_payout",
        category: "financing_payout",
        amount: financing.terms.advance,
        fees: Vec::new(),
        source: &source,
        description: "Payout of your loan",
    };
    book(act, &financing.account, &money);
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    let refills =
        offer["product_type"] == "refill" && !act.state.market_of(&account).stacks_refills;
    let before = if refills { act.state.books.left_under_way(&account) } else { Vec::new() };
    financing.settled_another = !before.is_empty();
    act.state.books.ledger.advanced(&account, id, &financing.currency, financing.terms);
    act.state.books.financings.push(financing);
    for (offer, minor) in before {
        let settling = Paying {
            offer: &offer,
            minor,
            reason: "refill",
            from: PaidFrom::Balance,
            charge: None,
        };
        // It is under way, and this is what it lacks.
        let _ = pay(act, &settling);
    }
    send(act, &account, &currency, Source::Financing);
}

fn read(offer: &Value, act: &Act<'_>) -> Option<Financing> {
    let terms = &offer["accepted_terms"];
    let amount = |name: &str| terms[name].as_i64().unwrap_or_default();
    let agreed = Split { advance: amount("advance_amount"), fee: amount("fee_amount") };
    if agreed.advance < 0 || agreed.fee < 0 || agreed.total() == 0 {
        return None;
    }
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    #[expect(clippy::cast_possible_truncation, reason = "between nothing and a million")]
    let rate_millionths =
        (terms["withhold_rate"].as_f64().unwrap_or_default().clamp(0.0, 1.0) * 1e6).round() as i64;
    Some(Financing {
        offer: word(&offer["id"]),
        account: word(&offer["account"]),
        currency: word(&terms["currency"]),
        terms: agreed,
        rate_millionths,
        has_periods: offer["financing_type"] == "flex_loan",
        paid_out_at: act.now,
        payout: String::new(),
        settled_another: false,
        came_back: Split::default(),
        came_back_in: std::collections::BTreeMap::new(),
        is_under_way: true,
    })
}
