//! What an account's journal adds up to, by plain counters: a second set of books to compare the
//! API, and a client's own ledger and reports, with. It uses nothing of the simulator's arithmetic.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use stripe_simulator::{Fund, Movement, PaymentSource, Simulator};

/// Amounts are minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedLedger {
    /// Oldest first.
    pub financings: Vec<ExpectedFinancing>,
    /// Payouts to the bank, of sales and of advances, oldest first.
    pub payouts: Vec<ExpectedPayout>,
    /// What moved the balance of sales since its last payout.
    pub unpaid_sales: ExpectedPayout,
    /// What moved the balance of advances since its last payout.
    pub unpaid_financing: ExpectedPayout,
}

/// Amounts are minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedFinancing {
    pub offer: String,
    pub currency: String,
    pub phase: FinancingPhase,
    pub advance_minor: i64,
    pub fee_minor: i64,
    /// All payments, reversed ones included.
    pub paid_minor: i64,
    pub reversed_minor: i64,
    /// Of its fee, by a refill.
    pub discounted_minor: i64,
    pub remaining_minor: i64,
    pub withheld_minor_by_charge: BTreeMap<String, i64>,
    /// All payments, by the date in the account's time zone.
    pub paid_minor_on: BTreeMap<NaiveDate, i64>,
    /// Reversals, by their own date.
    pub reversed_minor_on: BTreeMap<NaiveDate, i64>,
    /// What the balance paid, less what went back to it.
    pub from_balance_minor: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinancingPhase {
    Active,
    FullyRepaid,
    Canceled,
}

/// What a payout to the bank is made of. Amounts are minor units, without a sign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedPayout {
    /// Empty until it is sent.
    pub id: String,
    pub amount_minor: i64,
    /// Less fees.
    pub sold_minor: i64,
    pub refunded_minor: i64,
    /// Less canceled ones.
    pub advanced_minor: i64,
    /// To financings, less what came back.
    pub paid_down_minor: i64,
}

impl ExpectedLedger {
    pub fn of(simulator: &Simulator, account: &str) -> Self {
        let mut ledger = Self::default();
        for movement in simulator.journal(account) {
            ledger.add(movement);
        }
        ledger
    }

    fn add(&mut self, movement: Movement) {
        match movement {
            Movement::Advance { offer, currency, advance_minor, fee_minor } => {
                self.unpaid_financing.advanced_minor += advance_minor;
                self.financings.push(ExpectedFinancing {
                    offer,
                    currency,
                    phase: FinancingPhase::Active,
                    advance_minor,
                    fee_minor,
                    paid_minor: 0,
                    reversed_minor: 0,
                    discounted_minor: 0,
                    remaining_minor: advance_minor + fee_minor,
                    withheld_minor_by_charge: BTreeMap::new(),
                    paid_minor_on: BTreeMap::new(),
                    reversed_minor_on: BTreeMap::new(),
                    from_balance_minor: 0,
                });
            }
            Movement::Payment { offer, minor, reason, from, charge, date } => {
                if from == PaymentSource::Balance {
                    // A refill pays the old financing off out of the new advance.
                    let of_refill = reason == "refill";
                    let fund = if of_refill { Fund::Financing } else { Fund::Sales };
                    self.unpaid(fund).paid_down_minor += minor;
                    self.financing(&offer).from_balance_minor += minor;
                }
                self.financing(&offer).pay(minor, charge, date);
            }
            Movement::Reversal { offer, minor, to, date } => {
                if to == PaymentSource::Balance {
                    self.unpaid_sales.paid_down_minor -= minor;
                    self.financing(&offer).from_balance_minor -= minor;
                }
                let financing = self.financing(&offer);
                financing.reversed_minor += minor;
                financing.remaining_minor += minor;
                *financing.reversed_minor_on.entry(date).or_default() += minor;
            }
            Movement::Discount { offer, minor } => {
                let financing = self.financing(&offer);
                financing.remaining_minor -= minor;
                financing.discounted_minor += minor;
                if financing.remaining_minor == 0 {
                    financing.phase = FinancingPhase::FullyRepaid;
                }
            }
            Movement::Cancellation { offer, advance_minor } => {
                let financing = self.financing(&offer);
                financing.phase = FinancingPhase::Canceled;
                financing.remaining_minor = 0;
                self.unpaid_sales.advanced_minor -= advance_minor;
            }
            Movement::Sale { net_minor } => self.unpaid_sales.sold_minor += net_minor,
            Movement::Refund { minor } => self.unpaid_sales.refunded_minor += minor,
            Movement::Payout { id, fund, minor } => {
                let content = std::mem::take(self.unpaid(fund));
                self.payouts.push(ExpectedPayout { id, amount_minor: minor, ..content });
            }
        }
    }

    fn unpaid(&mut self, fund: Fund) -> &mut ExpectedPayout {
        match fund {
            Fund::Sales => &mut self.unpaid_sales,
            Fund::Financing => &mut self.unpaid_financing,
        }
    }

    fn financing(&mut self, offer: &str) -> &mut ExpectedFinancing {
        let mut financings = self.financings.iter_mut();
        financings.find(|financing| financing.offer == offer).expect("an advance comes first")
    }
}

impl ExpectedFinancing {
    fn pay(&mut self, minor: i64, charge: Option<String>, date: NaiveDate) {
        self.paid_minor += minor;
        self.remaining_minor -= minor;
        *self.paid_minor_on.entry(date).or_default() += minor;
        if let Some(charge) = charge {
            *self.withheld_minor_by_charge.entry(charge).or_default() += minor;
        }
        if self.remaining_minor == 0 {
            self.phase = FinancingPhase::FullyRepaid;
        }
    }
}
