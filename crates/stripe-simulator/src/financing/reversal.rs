//! The undoing of payments and payouts (<https://docs.stripe.com/capital/reporting-and-reconciliation>).
//!
//! `linked_payment` belongs to a withholding alone, so a reversal names the payment that it undoes and no sale.
//! Stripe documents no way back from `fully_repaid`, so only what belongs to a financing that is under way can be undone here.

use std::str::FromStr;

use chrono::TimeDelta;

use super::PaidFrom;
use super::balance::{Move, Source, book};
use super::transaction::{New, record};
use crate::buttons::{Impossible, enter};
use crate::events::Act;

/// Why a payment is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversal {
    /// The bank gave the collected money back.
    CollectionFailure,
    /// The merchant asked for it.
    RequestedByUser,
    /// What was withheld from a sale is given back.
    WithholdingRefund,
}

impl FromStr for Reversal {
    type Err = ();

    fn from_str(reason: &str) -> Result<Self, ()> {
        [Self::CollectionFailure, Self::RequestedByUser, Self::WithholdingRefund]
            .into_iter()
            .find(|reversal| reversal.reason() == reason)
            .ok_or(())
    }
}

impl Reversal {
    fn reason(self) -> &'static str {
        match self {
            Self::CollectionFailure => "collection_failure",
            Self::RequestedByUser => "requested_by_user",
            Self::WithholdingRefund => "automatic_withholding_refund",
        }
    }

    /// Which payments can be undone so, by their reason.
    fn undoes(self) -> &'static [&'static str] {
        match self {
            Self::CollectionFailure => &["collection"],
            Self::RequestedByUser => &["automatic_withholding", "collection", "user_initiated"],
            Self::WithholdingRefund => &["automatic_withholding"],
        }
    }
}

pub(crate) fn reverse(
    act: &mut Act<'_>,
    transaction: &str,
    reversal: Reversal,
) -> Result<String, Impossible> {
    let payment = act.state.books.payments.get(transaction);
    let payment = payment.ok_or_else(|| Impossible("no such payment".to_owned()))?;
    if payment.is_reversed || !reversal.undoes().contains(&payment.reason) {
        let why = format!("a payment by {} cannot be undone so, or it was already", payment.reason);
        return Err(Impossible(why));
    }
    undo(act, transaction, reversal.reason())
}

/// Takes back a financing: what came back is returned, and then the advance is taken from the balance of sales. That it goes in
/// this order, and from there, is an assumption.
pub(crate) fn cancel(act: &mut Act<'_>, offer: &str) -> Result<(), Impossible> {
    let applied_at = act
        .state
        .offer(offer)
        .and_then(|offer| offer["status_transitions"]["accepted_at"].as_i64());
    let late =
        |applied_at: i64| act.now.timestamp() - applied_at > TimeDelta::hours(48).num_seconds();
    let financing = act.state.books.under_way(offer)?;
    if financing.settled_another {
        return Err(Impossible(
            "it settled another financing, which does not come to life again".to_owned(),
        ));
    }
    if applied_at.is_none_or(late) {
        return Err(Impossible("48 hours are over".to_owned()));
    }
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    let (terms, payout) = (financing.terms, financing.payout.clone());
    let payments = act.state.books.payments.iter();
    let open = payments.filter(|(_, payment)| payment.offer == offer && !payment.is_reversed);
    let mut open: Vec<String> = open.map(|(id, _)| id.clone()).collect();
    // Ids are in the order of making.
    open.sort();
    for payment in open {
        undo(act, &payment, "financing_cancellation")?;
    }
    act.state.books.under_way(offer)?.is_under_way = false;
    let source = act.state.new_id("fnpor_");
    let taken = Move {
        of: Source::Sales,
        currency: &currency,
        kind: "financing_payout_reversal",
        category: "financing_payout_reversal",
        amount: -terms.advance,
        fees: Vec::new(),
        source: &source,
        description: "Cancellation of your loan",
    };
    book(act, &account, &taken);
    let new = New {
        account: &account,
        offer,
        currency: &currency,
        kind: "reversal",
        reason: Some("financing_cancellation"),
        part: terms,
        description: "Cancellation of your loan",
        charge: None,
        reverses: Some(&payout),
        source: Some(source),
    };
    record(act, new);
    act.state.books.ledger.canceled(&account, offer);
    enter(act, offer, "canceled");
    act.tell_of("capital.financing_offer.canceled", offer);
    Ok(())
}

/// Undoes a payment of a financing that is under way.
fn undo(act: &mut Act<'_>, transaction: &str, reason: &'static str) -> Result<String, Impossible> {
    let books = &mut act.state.books;
    let payment =
        books.payments.get(transaction).ok_or_else(|| Impossible("no such payment".to_owned()))?;
    let (offer, part, period) = (payment.offer.clone(), payment.part, payment.period);
    let from = payment.from;
    let financing = books.under_way(&offer)?;
    financing.came_back = financing.came_back.minus(part);
    *financing.came_back_in.entry(period).or_default() -= part.total();
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    if let Some(payment) = books.payments.get_mut(transaction) {
        payment.is_reversed = true;
    }
    let description = "Reversal of a paydown of your loan";
    let source = (from == PaidFrom::Balance).then(|| act.state.new_id("fnpdr_"));
    if let Some(source) = &source {
        let given_back = Move {
            of: Source::Sales,
            currency: &currency,
            kind: "financing_paydown_reversal",
            category: "financing_paydown_reversal",
            amount: part.total(),
            fees: Vec::new(),
            source,
            description,
        };
        book(act, &account, &given_back);
    }
    let new = New {
        account: &account,
        offer: &offer,
        currency: &currency,
        kind: "reversal",
        reason: Some(reason),
        part,
        description,
        charge: None,
        reverses: Some(transaction),
        source,
    };
    let id = record(act, new);
    let date = act.state.local_date(&account, act.now);
    act.state.books.ledger.gave_back(&account, &offer, (part.total(), from), date);
    Ok(id)
}
