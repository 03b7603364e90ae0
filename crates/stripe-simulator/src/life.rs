//! A merchant's life, played from a seed: offers, an application and what becomes of it, hundreds of sales, payments, failures,
//! refunds, refills, and the next financing. For the demo, and for tests that hold the service against the truth.
//!
//! The same seed on a simulator of the same time plays the same life.

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::financing::{Charge, ChargeKind, PaidFrom, Reversal};
use super::{Button, NewAccount, NewOffer, Simulator};

/// One merchant. Each step moves the simulator's clock, where it can be moved.
pub struct Life {
    simulator: Simulator,
    account: String,
    dice: StdRng,
    /// Of sales that can still be given back.
    charges: Vec<String>,
}

impl Life {
    /// A merchant somewhere, by the seed.
    pub fn random(simulator: &Simulator, seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let country = ["US", "GB", "FR", "DE", "AU", "CA"][dice.random_range(0..6)];
        let account = simulator.add_account(&NewAccount {
            name: Some(format!("Merchant {seed}")),
            email: Some(format!("merchant{seed}@example.com")),
            country: Some(country.to_owned()),
        });
        Self { simulator: simulator.clone(), account, dice, charges: Vec::new() }
    }

    /// `acct_…`
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Some time passes, and something happens: mostly a sale.
    pub fn step(&mut self) {
        let pause = TimeDelta::minutes(self.dice.random_range(10..1_200));
        self.simulator.shared.clock.advance(pause);
        self.sell();
        if self.happens(0.08) {
            self.simulator.pay_out(&self.account);
        }
        if self.happens(0.04) {
            self.give_back();
        }
        self.step_of_offer();
        let under_way = self.simulator.shared.state().books.left_under_way(&self.account);
        if let Some((offer, left)) = under_way.first() {
            self.step_of_financing(offer, *left, under_way.len());
        }
    }

    /// So many steps.
    pub fn live(&mut self, steps: u32) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn happens(&mut self, chance: f64) -> bool {
        self.dice.random_bool(chance)
    }

    fn sell(&mut self) {
        let amount = self.dice.random_range(1..30_000);
        let part = amount * self.dice.random_range(0..20) / 100;
        let kind = if self.dice.random_bool(0.5) {
            ChargeKind::Direct { application_fee: part }
        } else {
            ChargeKind::Destination { transfer_amount: amount - part }
        };
        if let Ok(charged) = self.simulator.charge(&self.account, &Charge { amount, kind }) {
            self.charges.push(charged.charge);
        }
    }

    fn give_back(&mut self) {
        if !self.charges.is_empty() {
            let place = self.dice.random_range(0..self.charges.len());
            let minor = self.dice.random_range(1..5_000);
            // More than is left of the sale cannot go back; then nothing happens.
            let _ = self.simulator.refund(&self.charges[place], minor);
        }
    }

    /// What the newest offer goes through, until it is paid out.
    fn step_of_offer(&mut self) {
        let newest = self.simulator.shared.state().newest_offer(&self.account).cloned();
        let Some(offer) = newest else { return self.offer() };
        let id = offer["id"].as_str().unwrap_or_default();
        let ways: &[(f64, Button)] = match offer["status"].as_str().unwrap_or_default() {
            "undelivered" => {
                self.simulator.deliver(id);
                &[]
            }
            "delivered" => &[
                (0.3, Button::Apply),
                (0.03, Button::Expire),
                (0.05, Button::Replace),
                (0.02, Button::TakeOther),
            ],
            "accepted" => &[
                (0.6, Button::Approve),
                (0.1, Button::Reject),
                (0.06, Button::Cancel),
                (0.08, Button::Counter),
            ],
            "paid_out" => return self.maybe_refill(id),
            // Its life is over: perhaps there is another.
            _ => {
                if self.happens(0.1) {
                    self.offer();
                }
                return;
            }
        };
        self.go(id, ways);
    }

    /// The first way whose chance comes.
    fn go(&mut self, offer: &str, ways: &[(f64, Button)]) {
        let chosen = ways.iter().find(|(chance, _)| self.dice.random_bool(*chance));
        if let Some((_, button)) = chosen {
            // The clock may have closed the way, as with a cancellation.
            let _ = self.simulator.press(*button, offer);
        }
    }

    /// Beside a financing an offer is a refill.
    fn offer(&mut self) {
        let under_way = self.simulator.shared.state().books.left_under_way(&self.account);
        let product_type = if under_way.is_empty() { "standard" } else { "refill" };
        let advance_amount = self.dice.random_range(20_000..150_000);
        let types = ["flex_loan", "cash_advance", "fixed_term_loan"];
        self.simulator.create_offer(
            &self.account,
            &NewOffer {
                advance_amount,
                fee_amount: advance_amount * self.dice.random_range(4..18) / 100,
                withhold_rate: f64::from(self.dice.random_range(10..60)) / 200.0,
                product_type: product_type.to_owned(),
                financing_type: types[self.dice.random_range(0..types.len())].to_owned(),
                ..NewOffer::default()
            },
        );
    }

    /// Stripe offers more around three quarters (<https://docs.stripe.com/capital/refills>).
    fn maybe_refill(&mut self, newest: &str) {
        let is_ripe = self.simulator.shared.state().books.is_three_quarters_paid(newest);
        if is_ripe && self.happens(0.3) {
            self.offer();
        }
    }

    /// What happens to the oldest financing besides what is withheld for it.
    fn step_of_financing(&mut self, offer: &str, left: i64, under_way: usize) {
        let from = if self.dice.random_bool(0.5) { PaidFrom::Balance } else { PaidFrom::Bank };
        let minor = self.dice.random_range(1..=left.min(5_000));
        // What was asked for may have become impossible, and then does not happen.
        match self.dice.random_range(0..100) {
            0..4 => drop(self.simulator.pay(offer, minor, from)),
            4..8 => drop(self.simulator.collect(offer, minor, from)),
            8..11 => self.undo("collection", Reversal::CollectionFailure),
            11..13 => self.undo("user_initiated", Reversal::RequestedByUser),
            13..15 => self.undo("automatic_withholding", Reversal::WithholdingRefund),
            15 => drop(self.simulator.press(Button::Repay, offer)),
            16..18 if under_way == 1 => drop(self.simulator.press(Button::Cancel, offer)),
            _ => {}
        }
    }

    /// Undoes one of the account's payments of that reason.
    fn undo(&mut self, reason: &str, reversal: Reversal) {
        let transactions = self.simulator.transactions(&self.account);
        let fits = |transaction: &&Value| {
            transaction["type"] == "payment" && transaction["details"]["reason"] == reason
        };
        let payments: Vec<&Value> = transactions.iter().filter(fits).collect();
        if !payments.is_empty() {
            let payment = payments[self.dice.random_range(0..payments.len())];
            // It may be undone already, or its financing may be over.
            let _ = self.simulator.reverse(payment["id"].as_str().unwrap_or_default(), reversal);
        }
    }
}
