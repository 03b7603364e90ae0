//! Payments to a financing, and its end.

use super::balance::{NewBalanceTransaction, post};
use super::transaction::{NewTransaction, record};
use crate::error::ActionError;
use crate::feed::Tone;
use crate::money::format_amount;
use crate::state::balance::Fund;
use crate::state::change::Change;
use crate::state::journal::Movement;
use crate::state::ledger::{AmountParts, Financing, Payment, PaymentSource};
use crate::state::offer::text;
use crate::state::product::{Minimum, Product};

pub(crate) struct NewPayment<'a> {
    pub(crate) offer: &'a str,
    pub(crate) minor: i64,
    pub(crate) reason: &'static str,
    pub(crate) from: PaymentSource,
    pub(crate) charge: Option<&'a str>,
}

impl NewPayment<'_> {
    /// The part of the balance that it is taken from, if it is taken from the balance.
    fn fund(&self) -> Fund {
        if self.reason == "refill" { Fund::Financing } else { Fund::Sales }
    }

    /// Only the first two are known: Stripe's documentation shows the one, and a program in the
    /// field (antiwork/gumroad) looks for exactly the words of the other. They are the one sign
    /// that a collection went through the balance.
    fn description(&self) -> &'static str {
        match (self.reason, self.from) {
            ("automatic_withholding", _) => "Paydown of your loan",
            ("collection", PaymentSource::Balance) => "Forced debit from Stripe Payments",
            ("collection", PaymentSource::BankAccount) => "Forced debit from bank account",
            ("refill", _) => "Paydown of your loan by refill",
            (_, PaymentSource::Balance) => "Manual payment from Stripe balance",
            (_, PaymentSource::BankAccount) => "Manual payment from bank account",
        }
    }
}

/// The merchant pays.
pub(crate) fn pay_manually(
    change: &mut Change<'_>,
    offer: &str,
    minor: i64,
    from: PaymentSource,
) -> Result<String, ActionError> {
    let before = change.notes.len();
    let id =
        pay(change, &NewPayment { offer, minor, reason: "user_initiated", from, charge: None })?;
    note(change, before, offer, ("Paid", minor, from));
    Ok(id)
}

/// Stripe collects what an interval's minimum lacks, as far as the product has minimums, and from
/// the bank account where it debits that.
pub(crate) fn collect(
    change: &mut Change<'_>,
    offer: &str,
    minor: i64,
    from: PaymentSource,
) -> Result<String, ActionError> {
    let account = change.state.ledger.active_mut(offer)?.account.clone();
    let country = change.state.accounts.country(&account);
    let financing_type = change.state.offers.get(offer).map(|offer| text(&offer["financing_type"]));
    let product = Product::find(country, &financing_type.unwrap_or_default());
    if let Some(product) = product {
        if product.minimum == Minimum::Never {
            return Err(ActionError::new("the product has no minimum to collect"));
        }
        if from == PaymentSource::BankAccount && product.bank_debit == Some(false) {
            return Err(ActionError::new("the product is not debited from a bank account"));
        }
    }
    let before = change.notes.len();
    let id = pay(change, &NewPayment { offer, minor, reason: "collection", from, charge: None })?;
    note(change, before, offer, ("Stripe collected", minor, from));
    Ok(id)
}

/// Tells the feed of a payment that was made, in front of what came of it: it may be the last.
fn note(
    change: &mut Change<'_>,
    position: usize,
    offer: &str,
    (verb, minor, from): (&str, i64, PaymentSource),
) {
    let Some(offer) = change.state.offers.get(offer) else { return };
    let account = text(&offer["account"]);
    let amount = format_amount(minor, &change.state.accounts.currency(&account));
    let place = match from {
        PaymentSource::Balance => "the balance",
        PaymentSource::BankAccount => "the bank account",
    };
    change.note(&account, format!("{verb} {amount} from {place}"), Tone::Quiet);
    change.notes[position..].rotate_right(1);
}

/// The merchant pays all that remains.
pub(crate) fn pay_off(change: &mut Change<'_>, offer: &str) -> Result<(), ActionError> {
    let minor = change.state.ledger.active_mut(offer)?.remaining().total();
    pay_manually(change, offer, minor, PaymentSource::BankAccount).map(drop)
}

/// Takes a payment. The last one ends the financing.
pub(crate) fn pay(change: &mut Change<'_>, new: &NewPayment<'_>) -> Result<String, ActionError> {
    let now = change.now;
    let financing = change.state.ledger.active_mut(new.offer)?;
    let remaining = financing.remaining().total();
    if !(1..=remaining).contains(&new.minor) {
        let reason = format!("{remaining} remains, so {} cannot be paid", new.minor);
        return Err(ActionError(reason));
    }
    let amount = parts(financing, new.minor);
    // A collection makes up for what an interval lacked that is over.
    let is_late = new.reason == "collection" && financing.overdue(now) >= new.minor;
    let interval = financing.interval(now) - i64::from(is_late);
    financing.repaid = financing.repaid.plus(amount);
    *financing.repaid_in_interval.entry(interval).or_default() += amount.total();
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    let source = debit_balance(change, new, &account, &currency);
    let transaction = NewTransaction {
        account: &account,
        offer: new.offer,
        currency: &currency,
        kind: "payment",
        reason: Some(new.reason),
        amount,
        description: new.description(),
        charge: new.charge,
        reverses: None,
        source,
    };
    let id = record(change, transaction);
    journal(change, new, &account);
    let payment = Payment {
        offer: new.offer.to_owned(),
        amount,
        interval,
        reason: new.reason,
        from: new.from,
        is_reversed: false,
    };
    change.state.ledger.payments.insert(id.clone(), payment);
    if new.minor == remaining {
        finish(change, new.offer);
    }
    Ok(id)
}

/// Ends a financing of which nothing remains. Only now its refill shows the discount
/// (<https://docs.stripe.com/capital/refills>).
pub(super) fn finish(change: &mut Change<'_>, offer: &str) {
    let Ok(financing) = change.state.ledger.active_mut(offer) else { return };
    financing.is_active = false;
    let account = financing.account.clone();
    let discount = financing.discount.as_ref();
    if let Some((refill, minor)) = discount.map(|given| (given.refill.clone(), given.minor))
        && let Some(refill) = change.state.offers.get_mut(&refill)
    {
        refill["accepted_terms"]["previous_financing_fee_discount_amount"] = minor.into();
    }
    change.set_offer_status(offer, "fully_repaid");
    change.emit_for_offer("capital.financing_offer.fully_repaid", offer);
    change.note(&account, "Paid in full".to_owned(), Tone::Good);
}

/// Returns the source of the balance transaction, if the payment comes from the balance.
fn debit_balance(
    change: &mut Change<'_>,
    new: &NewPayment<'_>,
    account: &str,
    currency: &str,
) -> Option<String> {
    if new.from == PaymentSource::BankAccount {
        return None;
    }
    let source = change.state.new_id("fnpd_");
    let debit = NewBalanceTransaction {
        fund: new.fund(),
        currency,
        kind: "financing_paydown",
        category: "financing_paydown",
        amount: -new.minor,
        fees: Vec::new(),
        source: &source,
        description: new.description(),
    };
    post(change, account, &debit);
    Some(source)
}

fn journal(change: &mut Change<'_>, new: &NewPayment<'_>, account: &str) {
    let movement = Movement::Payment {
        offer: new.offer.to_owned(),
        minor: new.minor,
        reason: new.reason,
        from: new.from,
        charge: new.charge.map(str::to_owned),
        date: change.state.accounts.local_date(account, change.now),
    };
    change.record(account, movement);
}

/// Splits a payment. Of all that was repaid the fee has its share, rounded down, so that the parts
/// of all payments add up to the terms whatever was rounded or reversed on the way.
fn parts(financing: &Financing, minor: i64) -> AmountParts {
    let (terms, remaining) = (financing.terms, financing.remaining());
    let repaid = i128::from(financing.repaid.total() + minor);
    let fee_by_now = repaid * i128::from(terms.fee) / i128::from(terms.total());
    let fee_by_now = i64::try_from(fee_by_now).expect("a part of the fee, which is an i64");
    let fee = (fee_by_now - financing.repaid.fee)
        .clamp((minor - remaining.advance).max(0), minor.min(remaining.fee));
    AmountParts { advance: minor - fee, fee }
}
