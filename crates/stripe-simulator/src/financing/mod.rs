//! The money of financings: what is paid out, what is withheld from sales, what is paid by hand or collected, what is undone; and
//! the balances of the accounts that it moves through.
//!
//! | file | owns |
//! |---|---|
//! | `payout` | the money to the merchant, and what a refill does to the financing before it |
//! | `charge` | sales and their refunds, and what is withheld from a sale |
//! | `paydown` | money from the merchant, and the end of a financing |
//! | `reversal` | the undoing of both |
//! | `transaction` | `capital.financing_transaction` |
//! | `balance` | balance transactions, and payouts to the merchant's bank |
//! | `summary` | `capital.financing_summary` |
//! | `truth` | a second book of the same, kept by other code, for tests to hold everything against |
//! | `routes` | what Stripe's API shows of it |
//!
//! Money that comes in is available at once: here nothing is pending.

pub(crate) mod balance;
pub(crate) mod charge;
pub(crate) mod paydown;
pub(crate) mod payout;
pub(crate) mod reversal;
pub(crate) mod routes;
mod summary;
mod transaction;
mod truth;

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::buttons::Impossible;
use super::state::{NewOffer, State};
use super::{Simulator, events};

pub use charge::{Charge, ChargeKind, Charged};
pub use reversal::Reversal;
pub use truth::{FinancingTruth, PayoutTruth, Phase, Truth};

/// An amount by its two parts, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Split {
    advance: i64,
    fee: i64,
}

impl Split {
    fn total(self) -> i64 {
        self.advance + self.fee
    }

    fn plus(self, other: Self) -> Self {
        Self { advance: self.advance + other.advance, fee: self.fee + other.fee }
    }

    fn minus(self, other: Self) -> Self {
        Self { advance: self.advance - other.advance, fee: self.fee - other.fee }
    }
}

/// Through which account a payment's money goes. Stripe's transaction does not say it in a field of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaidFrom {
    /// The account's balance at Stripe.
    Balance,
    /// The merchant's bank account.
    Bank,
}

impl FromStr for PaidFrom {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "balance" => Ok(Self::Balance),
            "bank" => Ok(Self::Bank),
            _ => Err(()),
        }
    }
}

/// A financing whose money went out.
struct Financing {
    offer: String,
    account: String,
    currency: String,
    terms: Split,
    rate_millionths: i64,
    /// Only loans have a minimum for each period.
    has_periods: bool,
    paid_out_at: DateTime<Utc>,
    /// The transaction that paid it out.
    payout: String,
    /// It settled the financing before it, so it cannot be taken back.
    settled_another: bool,
    came_back: Split,
    /// By the number of the period; what is undone counts against the period that it was paid in.
    came_back_in: BTreeMap<i64, i64>,
    is_under_way: bool,
}

impl Financing {
    fn left(&self) -> Split {
        self.terms.minus(self.came_back)
    }

    /// Counted from the money's going out.
    fn period(&self, now: DateTime<Utc>) -> i64 {
        (now - self.paid_out_at).num_seconds() / PERIOD.num_seconds()
    }
}

/// An assumption: the documentation that can be reached gives no number.
const PERIOD: TimeDelta = TimeDelta::days(60);

/// A payment, as far as its undoing needs it.
struct Payment {
    offer: String,
    part: Split,
    period: i64,
    reason: &'static str,
    from: PaidFrom,
    is_reversed: bool,
}

/// All the money.
#[derive(Default)]
pub(crate) struct Books {
    /// Oldest first.
    financings: Vec<Financing>,
    /// By the id of the transaction.
    payments: HashMap<String, Payment>,
    charges: HashMap<String, charge::Kept>,
    transfers: HashMap<String, Value>,
    balances: HashMap<String, balance::Balance>,
    ledger: truth::Ledger,
}

impl Books {
    fn find(&self, offer: &str) -> Option<&Financing> {
        self.financings.iter().find(|financing| financing.offer == offer)
    }

    fn under_way(&mut self, offer: &str) -> Result<&mut Financing, Impossible> {
        let found = self.financings.iter_mut().find(|financing| financing.offer == offer);
        found
            .filter(|financing| financing.is_under_way)
            .ok_or_else(|| Impossible("no financing is under way".to_owned()))
    }

    pub(crate) fn is_under_way(&self, offer: &str) -> bool {
        self.find(offer).is_some_and(|financing| financing.is_under_way)
    }

    /// An account's, oldest first.
    fn all_under_way<'a>(
        &'a self,
        account: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a Financing> {
        self.financings
            .iter()
            .filter(move |financing| financing.account == account && financing.is_under_way)
    }

    /// An account's offers whose financing is under way, oldest first, and what each lacks.
    pub(crate) fn left_under_way(&self, account: &str) -> Vec<(String, i64)> {
        let lacking = |financing: &Financing| (financing.offer.clone(), financing.left().total());
        self.all_under_way(account).map(lacking).collect()
    }

    pub(crate) fn is_three_quarters_paid(&self, offer: &str) -> bool {
        self.find(offer)
            .is_some_and(|financing| 4 * financing.left().total() <= financing.terms.total())
    }

    pub(crate) fn truth(&self, account: &str) -> Truth {
        self.ledger.of(account)
    }
}

/// The summary of an account as the API shows it.
pub(crate) fn summary_of(state: &State, account: &str, now: DateTime<Utc>) -> Value {
    summary::of(state, account, now)
}

impl Simulator {
    /// A customer buys from a merchant. Where a financing is under way, its share is withheld.
    pub fn charge(&self, account: &str, charge: &Charge) -> Result<Charged, Impossible> {
        events::act(&self.shared, |act| charge::charge(act, account, charge))
    }

    /// Money of a charge goes back to the customer. What was withheld from it stays withheld
    /// (<https://docs.stripe.com/capital/reporting-and-reconciliation>). Gives the refund's id.
    pub fn refund(&self, charge: &str, minor: i64) -> Result<String, Impossible> {
        events::act(&self.shared, |act| charge::refund(act, charge, minor))
    }

    /// The merchant pays by itself. Gives the transaction's id.
    pub fn pay(&self, offer: &str, minor: i64, from: PaidFrom) -> Result<String, Impossible> {
        events::act(&self.shared, |act| paydown::pay_by_hand(act, offer, minor, from))
    }

    /// Stripe takes what a period's minimum lacks. Gives the transaction's id.
    pub fn collect(&self, offer: &str, minor: i64, from: PaidFrom) -> Result<String, Impossible> {
        events::act(&self.shared, |act| paydown::collect(act, offer, minor, from))
    }

    /// Undoes a payment, whole and once. Gives the reversal's id.
    pub fn reverse(&self, transaction: &str, reversal: Reversal) -> Result<String, Impossible> {
        events::act(&self.shared, |act| reversal::reverse(act, transaction, reversal))
    }

    /// Sends all that an account has of sales to its bank. Gives the payout's id; none where there is nothing to send.
    pub fn pay_out(&self, account: &str) -> Option<String> {
        events::act(&self.shared, |act| balance::pay_out(act, account))
    }

    /// Stripe itself tells the merchant of an offer that nobody has told it of. True if that was so.
    pub fn deliver(&self, offer: &str) -> bool {
        let mut state = self.shared.state();
        let found = state.offer_mut(offer).filter(|offer| offer["status"] == "undelivered");
        found.map(|offer| offer["status"] = "delivered".into()).is_some()
    }

    /// Offers more money to an account with a financing, and announces it.
    pub fn offer_refill(&self, account: &str, offer: &NewOffer) -> String {
        self.create_offer(account, &NewOffer { product_type: "refill".to_owned(), ..offer.clone() })
    }

    /// An account's transactions as the API shows them, oldest first.
    pub fn transactions(&self, account: &str) -> Vec<Value> {
        self.shared.state().transactions.get(account).cloned().unwrap_or_default()
    }

    /// The summary of an account as the API shows it.
    pub fn summary(&self, account: &str) -> Value {
        summary::of(&self.shared.state(), account, self.shared.clock.now())
    }

    /// An account's balance transactions as the API shows them, oldest first.
    pub fn balance_transactions(&self, account: &str) -> Vec<Value> {
        let state = self.shared.state();
        state.books.balances.get(account).map(|balance| balance.moves.clone()).unwrap_or_default()
    }

    /// What really happened to an account.
    pub fn truth(&self, account: &str) -> Truth {
        self.shared.state().books.truth(account)
    }
}
