//! Balance transactions (<https://docs.stripe.com/api/balance_transactions>) and payouts to the
//! merchant's bank (<https://docs.stripe.com/api/payouts>).
//!
//! Stripe documents `financing_payout` as `type` and `reporting_category`. Of
//! `financing_payout_reversal`, `financing_paydown` and `financing_paydown_reversal` it documents
//! the categories alone; that `type` has the same words is what programs in the field expect. The
//! form of the ids in `source` is documented nowhere.

use chrono::{Days, NaiveTime};
use serde_json::json;

use crate::feed::Tone;
use crate::money::format_amount;
use crate::state::balance::Fund;
use crate::state::change::Change;
use crate::state::journal::Movement;

/// Amounts are minor units; negative out of the balance.
pub(crate) struct NewBalanceTransaction<'a> {
    pub(crate) fund: Fund,
    pub(crate) currency: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) category: &'static str,
    pub(crate) amount: i64,
    pub(crate) fees: Vec<(&'static str, i64)>,
    pub(crate) source: &'a str,
    pub(crate) description: &'static str,
}

/// Moves an account's balance. Returns the balance transaction's id.
pub(crate) fn post(
    change: &mut Change<'_>,
    account: &str,
    new: &NewBalanceTransaction<'_>,
) -> String {
    let id = change.state.new_id("txn_");
    let fee: i64 = new.fees.iter().map(|(_, fee)| fee).sum();
    let detail = |(kind, amount): &(&str, i64)| {
        json!({
            "amount": amount, "application": null, "currency": new.currency, "description": null,
            "type": kind,
        })
    };
    let transaction = json!({
        "id": id, "object": "balance_transaction", "amount": new.amount, "fee": fee,
        "net": new.amount - fee, "available_on": change.now.timestamp(),
        "created": change.now.timestamp(), "currency": new.currency,
        "description": new.description, "exchange_rate": null, "status": "available",
        "type": new.kind, "fee_details": new.fees.iter().map(detail).collect::<Vec<_>>(),
        "reporting_category": new.category, "source": new.source,
    });
    let balance = change.state.balances.entry(account.to_owned()).or_default();
    let fund = balance.fund(new.currency, new.fund);
    fund.available += new.amount - fee;
    fund.unpaid.push(id.clone());
    balance.transactions.push(transaction);
    id
}

/// Sends all that an account has of sales in its own currency to its bank.
pub(crate) fn pay_out_sales(change: &mut Change<'_>, account: &str) -> Option<String> {
    let currency = change.state.accounts.currency(account);
    pay_out(change, account, &currency, Fund::Sales)
}

/// Returns the payout's id; none if there is nothing to send.
pub(crate) fn pay_out(
    change: &mut Change<'_>,
    account: &str,
    currency: &str,
    fund: Fund,
) -> Option<String> {
    let available = change.state.balances.get_mut(account)?.fund(currency, fund).available;
    if available <= 0 {
        return None;
    }
    let id = change.state.new_id("po_");
    let debit = NewBalanceTransaction {
        fund,
        currency,
        kind: "payout",
        category: "payout",
        amount: -available,
        fees: Vec::new(),
        source: &id,
        description: "STRIPE PAYOUT",
    };
    let transaction = post(change, account, &debit);
    let source_type = match fund {
        Fund::Sales => "card",
        Fund::Financing => "financing",
    };
    // Stripe writes the date of arrival, tomorrow, as its midnight in UTC.
    let arrival = (change.now.date_naive() + Days::new(1)).and_time(NaiveTime::MIN).and_utc();
    let payout = json!({
        "id": id, "object": "payout", "amount": available, "arrival_date": arrival.timestamp(),
        "automatic": true, "balance_transaction": transaction,
        "created": change.now.timestamp(), "currency": currency,
        "description": debit.description, "destination": null, "livemode": change.state.livemode,
        "metadata": {}, "method": "standard", "reconciliation_status": "completed",
        "source_type": source_type, "status": "paid", "type": "bank_account",
    });
    let what = match fund {
        Fund::Sales => "Payout of sales",
        Fund::Financing => "Payout of the advance",
    };
    let amount = format_amount(available, currency);
    change.note(account, format!("{what}: {amount} to the bank"), Tone::Quiet);
    change.record(account, Movement::Payout { id: id.clone(), fund, minor: available });
    let balance = change.state.balances.get_mut(account)?;
    let paid = std::mem::take(&mut balance.fund(currency, fund).unpaid);
    balance.payout_of.extend(paid.into_iter().map(|transaction| (transaction, id.clone())));
    balance.payouts.push(payout);
    Some(id)
}
