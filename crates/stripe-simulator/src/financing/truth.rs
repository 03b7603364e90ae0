//! A second book. Counters that each act moves, and that nothing is computed from: tests hold the API, our ledger and our reports
//! against it.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use serde::Serialize;

use super::balance::Source;
use super::paydown::Paying;
use super::{PaidFrom, Split};

/// What really happened to an account. Amounts are minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// Oldest first.
    pub financings: Vec<FinancingTruth>,
    /// Payouts to the bank, of sales and of advances, oldest first.
    pub payouts: Vec<PayoutTruth>,
    /// What came into and went out of the balance of sales since its last payout.
    pub since_payout: PayoutTruth,
    /// Likewise the balance that advances come into, which their own payouts empty.
    pub since_financing_payout: PayoutTruth,
}

/// One financing. Amounts are minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FinancingTruth {
    /// `financingoffer_…`
    pub offer: String,
    /// Lower-case ISO code.
    pub currency: String,
    /// How far it is.
    pub phase: Phase,
    /// What was advanced.
    pub advance_minor: i64,
    /// The flat fee for it.
    pub fee_minor: i64,
    /// All payments, also those that were undone.
    pub paid_minor: i64,
    /// Of these, what was undone.
    pub given_back_minor: i64,
    /// What is still to come.
    pub remaining_minor: i64,
    /// All payments, by Stripe's reason.
    pub paid_minor_by_reason: BTreeMap<&'static str, i64>,
    /// What was withheld, by the sale.
    pub withheld_minor_by_charge: BTreeMap<String, i64>,
    /// All payments, by the date where the merchant is.
    pub paid_minor_on: BTreeMap<NaiveDate, i64>,
    /// Of these, what was withheld from sales.
    pub withheld_minor_on: BTreeMap<NaiveDate, i64>,
    /// What was undone, by the date of the undoing.
    pub given_back_minor_on: BTreeMap<NaiveDate, i64>,
    /// What left the merchant's balance for it, less what came back to the balance.
    pub from_balance_minor: i64,
    /// Likewise the merchant's bank account.
    pub from_bank_minor: i64,
}

/// How far a financing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Something is still to come.
    UnderWay,
    /// All has come back.
    FullyRepaid,
    /// Taken back.
    Canceled,
}

/// What a payout to the bank is made of. Amounts are minor units, without signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PayoutTruth {
    /// `po_…`; empty while it is not sent.
    pub id: String,
    /// What arrives: sales and advances, less refunds and what went to financings.
    pub amount_minor: i64,
    /// Sales, less fees.
    pub sold_minor: i64,
    /// Refunds of sales.
    pub refunded_minor: i64,
    /// Advances, less those that were taken back.
    pub advanced_minor: i64,
    /// What went from the balance to financings, less what came back from them.
    pub paid_down_minor: i64,
}

/// The book of all accounts.
#[derive(Default)]
pub(crate) struct Ledger(HashMap<String, Truth>);

impl Ledger {
    pub(crate) fn of(&self, account: &str) -> Truth {
        self.0.get(account).cloned().unwrap_or_default()
    }

    fn account(&mut self, account: &str) -> &mut Truth {
        self.0.entry(account.to_owned()).or_default()
    }

    fn since_payout(&mut self, account: &str, of: Source) -> &mut PayoutTruth {
        let truth = self.account(account);
        match of {
            Source::Sales => &mut truth.since_payout,
            Source::Financing => &mut truth.since_financing_payout,
        }
    }

    fn financing(&mut self, account: &str, offer: &str) -> Option<&mut FinancingTruth> {
        self.account(account).financings.iter_mut().find(|financing| financing.offer == offer)
    }

    pub(crate) fn advanced(&mut self, account: &str, offer: &str, currency: &str, terms: Split) {
        self.since_payout(account, Source::Financing).advanced_minor += terms.advance;
        self.account(account).financings.push(FinancingTruth {
            offer: offer.to_owned(),
            currency: currency.to_owned(),
            phase: Phase::UnderWay,
            advance_minor: terms.advance,
            fee_minor: terms.fee,
            paid_minor: 0,
            given_back_minor: 0,
            remaining_minor: terms.advance + terms.fee,
            paid_minor_by_reason: BTreeMap::new(),
            withheld_minor_by_charge: BTreeMap::new(),
            paid_minor_on: BTreeMap::new(),
            withheld_minor_on: BTreeMap::new(),
            given_back_minor_on: BTreeMap::new(),
            from_balance_minor: 0,
            from_bank_minor: 0,
        });
    }

    pub(crate) fn paid(&mut self, account: &str, paying: &Paying<'_>, on: NaiveDate) {
        let minor = paying.minor;
        if paying.from == PaidFrom::Balance {
            self.since_payout(account, paying.source()).paid_down_minor += minor;
        }
        let Some(financing) = self.financing(account, paying.offer) else { return };
        financing.paid_minor += minor;
        financing.remaining_minor -= minor;
        *financing.paid_minor_by_reason.entry(paying.reason).or_default() += minor;
        *financing.paid_minor_on.entry(on).or_default() += minor;
        if let Some(charge) = paying.charge {
            *financing.withheld_minor_by_charge.entry(charge.to_owned()).or_default() += minor;
            *financing.withheld_minor_on.entry(on).or_default() += minor;
        }
        match paying.from {
            PaidFrom::Balance => financing.from_balance_minor += minor,
            PaidFrom::Bank => financing.from_bank_minor += minor,
        }
        if financing.remaining_minor == 0 {
            financing.phase = Phase::FullyRepaid;
        }
    }

    pub(crate) fn gave_back(
        &mut self,
        account: &str,
        offer: &str,
        (minor, to): (i64, PaidFrom),
        on: NaiveDate,
    ) {
        if to == PaidFrom::Balance {
            self.account(account).since_payout.paid_down_minor -= minor;
        }
        let Some(financing) = self.financing(account, offer) else { return };
        financing.given_back_minor += minor;
        financing.remaining_minor += minor;
        *financing.given_back_minor_on.entry(on).or_default() += minor;
        match to {
            PaidFrom::Balance => financing.from_balance_minor -= minor,
            PaidFrom::Bank => financing.from_bank_minor -= minor,
        }
    }

    pub(crate) fn canceled(&mut self, account: &str, offer: &str) {
        let Some(financing) = self.financing(account, offer) else { return };
        financing.phase = Phase::Canceled;
        financing.remaining_minor = 0;
        let advance_minor = financing.advance_minor;
        self.account(account).since_payout.advanced_minor -= advance_minor;
    }

    pub(crate) fn sold(&mut self, account: &str, net_minor: i64) {
        self.account(account).since_payout.sold_minor += net_minor;
    }

    pub(crate) fn refunded(&mut self, account: &str, minor: i64) {
        self.account(account).since_payout.refunded_minor += minor;
    }

    pub(crate) fn sent(&mut self, account: &str, of: Source, (id, amount_minor): (&str, i64)) {
        let sent = std::mem::take(self.since_payout(account, of));
        self.account(account).payouts.push(PayoutTruth { id: id.to_owned(), amount_minor, ..sent });
    }
}
