//! Money from the merchant to a financing, and the end of a financing.

use super::balance::{Move, Source, book};
use super::transaction::{New, record};
use super::{Financing, PaidFrom, Payment, Split};
use crate::buttons::{Impossible, enter};
use crate::events::Act;

/// A payment to be.
pub(crate) struct Paying<'a> {
    pub(crate) offer: &'a str,
    pub(crate) minor: i64,
    pub(crate) reason: &'static str,
    pub(crate) from: PaidFrom,
    pub(crate) charge: Option<&'a str>,
}

impl Paying<'_> {
    /// The balance that it comes from, if it comes from one.
    pub(crate) fn source(&self) -> Source {
        if self.reason == "refill" { Source::Financing } else { Source::Sales }
    }

    /// Only the first two are known: Stripe's documentation shows the one, and for the other a program in the field
    /// (antiwork/gumroad) looks for exactly these words. It is the one sign that a collection went through the balance.
    fn description(&self) -> &'static str {
        match (self.reason, self.from) {
            ("automatic_withholding", _) => "Paydown of your loan",
            ("collection", PaidFrom::Balance) => "Forced debit from Stripe Payments",
            ("collection", PaidFrom::Bank) => "Forced debit from bank account",
            ("refill", _) => "Paydown of your loan by refill",
            (_, PaidFrom::Balance) => "Manual payment from Stripe balance",
            (_, PaidFrom::Bank) => "Manual payment from bank account",
        }
    }
}

pub(crate) fn pay_by_hand(
    act: &mut Act<'_>,
    offer: &str,
    minor: i64,
    from: PaidFrom,
) -> Result<String, Impossible> {
    pay(act, &Paying { offer, minor, reason: "user_initiated", from, charge: None })
}

pub(crate) fn collect(
    act: &mut Act<'_>,
    offer: &str,
    minor: i64,
    from: PaidFrom,
) -> Result<String, Impossible> {
    pay(act, &Paying { offer, minor, reason: "collection", from, charge: None })
}

/// All that is left, by hand.
pub(crate) fn pay_off(act: &mut Act<'_>, offer: &str) -> Result<(), Impossible> {
    let minor = act.state.books.under_way(offer)?.left().total();
    pay_by_hand(act, offer, minor, PaidFrom::Bank).map(drop)
}

/// Takes a payment. The last one ends the financing.
pub(crate) fn pay(act: &mut Act<'_>, paying: &Paying<'_>) -> Result<String, Impossible> {
    let now = act.now;
    let financing = act.state.books.under_way(paying.offer)?;
    let left = financing.left().total();
    if !(1..=left).contains(&paying.minor) {
        return Err(Impossible(format!("{left} is left, and {} was to be paid", paying.minor)));
    }
    let (part, period) = (share(financing, paying.minor), financing.period(now));
    financing.came_back = financing.came_back.plus(part);
    *financing.came_back_in.entry(period).or_default() += part.total();
    financing.is_under_way = paying.minor < left;
    let (account, currency) = (financing.account.clone(), financing.currency.clone());
    let is_over = !financing.is_under_way;
    let source = (paying.from == PaidFrom::Balance).then(|| act.state.new_id("fnpd_"));
    if let Some(source) = &source {
        let taken = Move {
            of: paying.source(),
            currency: &currency,
            kind: "financing_paydown",
            category: "financing_paydown",
            amount: -paying.minor,
            fees: Vec::new(),
            source,
            description: paying.description(),
        };
        book(act, &account, &taken);
    }
    let new = New {
        account: &account,
        offer: paying.offer,
        currency: &currency,
        kind: "payment",
        reason: Some(paying.reason),
        part,
        description: paying.description(),
        charge: paying.charge,
        reverses: None,
        source,
    };
    let id = record(act, new);
    act.state.books.ledger.paid(&account, paying, act.state.local_date(&account, now));
    let payment = Payment {
        offer: paying.offer.to_owned(),
        part,
        period,
        reason: paying.reason,
        from: paying.from,
        is_reversed: false,
    };
    act.state.books.payments.insert(id.clone(), payment);
    if is_over {
        enter(act, paying.offer, "fully_repaid");
        act.tell_of("capital.financing_offer.fully_repaid", paying.offer);
    }
    Ok(id)
}

/// Of all that has come back the fee has its share, rounded down; so the parts of all payments add up to the terms, whatever the
/// roundings on the way, and also after payments in between were undone.
fn share(financing: &Financing, minor: i64) -> Split {
    let (terms, left) = (financing.terms, financing.left());
    let came_back = i128::from(financing.came_back.total() + minor);
    let fee_by_now = came_back * i128::from(terms.fee) / i128::from(terms.total());
    let fee_by_now = i64::try_from(fee_by_now).expect("a part of the fee, which is an i64");
    let fee = (fee_by_now - financing.came_back.fee)
        .clamp((minor - left.advance).max(0), minor.min(left.fee));
    Split { advance: minor - fee, fee }
}
