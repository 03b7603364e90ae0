//! Reversals of payments and payouts
//! (<https://docs.stripe.com/capital/reporting-and-reconciliation>).
//!
//! `linked_payment` belongs to a withholding alone, so a reversal names the payment that it undoes
//! and no charge. Stripe documents no way back from `fully_repaid`, so only a payment to an active
//! financing can be undone.

use std::str::FromStr;

use chrono::TimeDelta;

use super::balance::{NewBalanceTransaction, post};
use super::transaction::{NewTransaction, record};
use crate::error::ActionError;
use crate::state::balance::Fund;
use crate::state::change::Change;
use crate::state::journal::Movement;
use crate::state::ledger::PaymentSource;

/// Why a payment is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversalReason {
    /// The bank returned the collected money.
    CollectionFailure,
    /// The merchant asked for it.
    RequestedByUser,
    /// What was withheld from a sale is given back.
    WithholdingRefund,
}

impl FromStr for ReversalReason {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::CollectionFailure, Self::RequestedByUser, Self::WithholdingRefund]
            .into_iter()
            .find(|reason| reason.as_str() == name)
            .ok_or(())
    }
}

impl ReversalReason {
    /// `details.reason` of the reversal.
    fn as_str(self) -> &'static str {
        match self {
            Self::CollectionFailure => "collection_failure",
            Self::RequestedByUser => "requested_by_user",
            Self::WithholdingRefund => "automatic_withholding_refund",
        }
    }

    /// The reasons of the payments that can be undone for this reason.
    fn applies_to(self) -> &'static [&'static str] {
        match self {
            Self::CollectionFailure => &["collection"],
            Self::RequestedByUser => &["automatic_withholding", "collection", "user_initiated"],
            Self::WithholdingRefund => &["automatic_withholding"],
        }
    }
}

/// Undoes a payment, whole and once.
pub(crate) fn reverse(
    change: &mut Change<'_>,
    transaction: &str,
    reason: ReversalReason,
) -> Result<String, ActionError> {
    let payment = change.state.ledger.payments.get(transaction);
    let payment = payment.ok_or_else(|| ActionError::new("there is no such payment"))?;
    if payment.is_reversed {
        return Err(ActionError::new("the payment is reversed already"));
    }
    if !reason.applies_to().contains(&payment.reason) {
        let message = format!("a payment by {} is not reversed for this reason", payment.reason);
        return Err(ActionError(message));
    }
    undo(change, transaction, reason.as_str())
}

/// Cancels a financing: its payments are undone, and then the advance is taken from the balance of
/// sales. This order, and the balance, are assumptions.
pub(crate) fn cancel(change: &mut Change<'_>, offer: &str) -> Result<(), ActionError> {
    check_cancelable(change, offer)?;
    let payments = change.state.ledger.payments.iter();
    let open = payments.filter(|(_, payment)| payment.offer == offer && !payment.is_reversed);
    let mut open: Vec<String> = open.map(|(id, _)| id.clone()).collect();
    // Ids grow, so this is the order of the payments.
    open.sort();
    for payment in open {
        undo(change, &payment, "financing_cancellation")?;
    }
    let financing = change.state.ledger.active_mut(offer)?;
    financing.is_active = false;
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    let (terms, payout) = (financing.terms, financing.payout.clone());
    let source = change.state.new_id("fnpor_");
    let description = "Cancellation of your loan";
    let debit = NewBalanceTransaction {
        fund: Fund::Sales,
        currency: &currency,
        kind: "financing_payout_reversal",
        category: "financing_payout_reversal",
        amount: -terms.advance,
        fees: Vec::new(),
        source: &source,
        description,
    };
    post(change, &account, &debit);
    let reversal = NewTransaction {
        account: &account,
        offer,
        currency: &currency,
        kind: "reversal",
        reason: Some("financing_cancellation"),
        amount: terms,
        description,
        charge: None,
        reverses: Some(&payout),
        source: Some(source),
    };
    record(change, reversal);
    let movement = Movement::Cancellation { offer: offer.to_owned(), advance_minor: terms.advance };
    change.record(&account, movement);
    change.set_offer_status(offer, "canceled");
    change.emit_for_offer("capital.financing_offer.canceled", offer);
    Ok(())
}

/// Within 48 hours of the application, unless it settled an earlier financing or lowered its fee.
fn check_cancelable(change: &mut Change<'_>, offer: &str) -> Result<(), ActionError> {
    let accepted_at = change
        .state
        .offers
        .get(offer)
        .and_then(|offer| offer["status_transitions"]["accepted_at"].as_i64());
    let is_late = |at: i64| change.now.timestamp() - at > TimeDelta::hours(48).num_seconds();
    if change.state.ledger.active_mut(offer)?.changed_another {
        return Err(ActionError::new("the refill settled another financing, or lowered its fee"));
    }
    if accepted_at.is_none_or(is_late) {
        return Err(ActionError::new("more than 48 hours have passed since the application"));
    }
    Ok(())
}

/// Undoes a payment of an active financing.
fn undo(
    change: &mut Change<'_>,
    transaction: &str,
    reason: &'static str,
) -> Result<String, ActionError> {
    let ledger = &mut change.state.ledger;
    let payment = ledger.payments.get(transaction);
    let payment = payment.ok_or_else(|| ActionError::new("there is no such payment"))?;
    let (offer, amount, from) = (payment.offer.clone(), payment.amount, payment.from);
    let interval = payment.interval;
    let financing = ledger.active_mut(&offer)?;
    financing.repaid = financing.repaid.minus(amount);
    *financing.repaid_in_interval.entry(interval).or_default() -= amount.total();
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    if let Some(payment) = ledger.payments.get_mut(transaction) {
        payment.is_reversed = true;
    }
    let description = "Reversal of a paydown of your loan";
    let source = (from == PaymentSource::Balance).then(|| change.state.new_id("fnpdr_"));
    if let Some(source) = &source {
        let credit = NewBalanceTransaction {
            fund: Fund::Sales,
            currency: &currency,
            kind: "financing_paydown_reversal",
            category: "financing_paydown_reversal",
            amount: amount.total(),
            fees: Vec::new(),
            source,
            description,
        };
        post(change, &account, &credit);
    }
    let reversal = NewTransaction {
        account: &account,
        offer: &offer,
        currency: &currency,
        kind: "reversal",
        reason: Some(reason),
        amount,
        description,
        charge: None,
        reverses: Some(transaction),
        source,
    };
    let id = record(change, reversal);
    let date = change.state.accounts.local_date(&account, change.now);
    change.record(&account, Movement::Reversal { offer, minor: amount.total(), to: from, date });
    Ok(id)
}
