//! A merchant whose life comes from a seed: offers, applications and what becomes of them, hundreds
//! of sales, payments, failures, refunds, refills, and the next financing. The same seed at the
//! same time makes the same life.

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use stripe_simulator::{
    Action, ChargeKind, NewAccount, NewCharge, NewOffer, PaymentSource, ReversalReason, Simulator,
    TimeSource,
};

pub struct RandomMerchant {
    simulator: Simulator,
    time: TimeSource,
    account: String,
    rng: StdRng,
    /// Charges that can be refunded.
    charges: Vec<String>,
}

impl RandomMerchant {
    /// `time` is the simulator's; each step moves it.
    pub fn new(simulator: &Simulator, time: &TimeSource, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let country = ["US", "GB", "FR", "DE", "AU", "CA"][rng.random_range(0..6)];
        let account = simulator.add_account(&NewAccount {
            name: Some(format!("Merchant {seed}")),
            email: Some(format!("merchant{seed}@example.com")),
            country: Some(country.to_owned()),
        });
        let (simulator, time) = (simulator.clone(), time.clone());
        Self { simulator, time, account, rng, charges: Vec::new() }
    }

    pub fn account(&self) -> &str {
        &self.account
    }

    pub fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// Some time passes, and something happens: mostly a sale. An action that has become impossible
    /// meanwhile does nothing.
    fn step(&mut self) {
        self.time.advance(TimeDelta::minutes(self.rng.random_range(10..1_200)));
        self.sell();
        if self.happens(0.08) {
            self.simulator.pay_out(&self.account);
        }
        if self.happens(0.04) {
            self.refund();
        }
        self.step_of_offer();
        let active = self.simulator.active_financings(&self.account);
        if let Some(oldest) = active.first() {
            self.step_of_financing(&oldest.offer, oldest.remaining_minor, active.len());
        }
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn sell(&mut self) {
        let amount = self.rng.random_range(1..30_000);
        let part = amount * self.rng.random_range(0..20) / 100;
        let kind = if self.rng.random_bool(0.5) {
            ChargeKind::Direct { application_fee: part }
        } else {
            ChargeKind::Destination { transfer_amount: amount - part }
        };
        if let Ok(charged) = self.simulator.charge(&self.account, &NewCharge { amount, kind }) {
            self.charges.push(charged.charge);
        }
    }

    fn refund(&mut self) {
        if !self.charges.is_empty() {
            let index = self.rng.random_range(0..self.charges.len());
            let minor = self.rng.random_range(1..5_000);
            let _ = self.simulator.refund(&self.charges[index], minor);
        }
    }

    /// One step of the newest offer, until it is paid out.
    fn step_of_offer(&mut self) {
        let Some(offer) = self.simulator.newest_offer(&self.account) else {
            return self.create_offer();
        };
        let id = offer["id"].as_str().unwrap();
        let actions: &[(f64, Action)] = match offer["status"].as_str().unwrap() {
            "undelivered" => {
                self.simulator.deliver(id);
                &[]
            }
            "delivered" => &[
                (0.3, Action::Apply),
                (0.03, Action::Expire),
                (0.05, Action::Replace),
                (0.02, Action::TakeOther),
            ],
            "accepted" => &[
                (0.6, Action::Approve),
                (0.1, Action::Reject),
                (0.06, Action::Cancel),
                (0.08, Action::Counter),
            ],
            "paid_out" => return self.refill_when_due(&offer),
            // Its life is over.
            _ => {
                if self.happens(0.1) {
                    self.create_offer();
                }
                return;
            }
        };
        let chosen = actions.iter().find(|(chance, _)| self.rng.random_bool(*chance));
        if let Some((_, action)) = chosen {
            let _ = self.simulator.perform(*action, id);
        }
    }

    /// Beside an active financing an offer is a refill.
    fn create_offer(&mut self) {
        let is_first = self.simulator.active_financings(&self.account).is_empty();
        let product_type = if is_first { "standard" } else { "refill" };
        let advance_amount = self.rng.random_range(20_000..150_000);
        let fee_discount_rate = match self.rng.random_range(0..4) {
            0 | 1 if !is_first => Some(f64::from(self.rng.random_range(1..=20)) / 20.0),
            _ => None,
        };
        let types = ["flex_loan", "cash_advance", "fixed_term_loan"];
        self.simulator.create_offer(
            &self.account,
            &NewOffer {
                advance_amount,
                fee_amount: advance_amount * self.rng.random_range(4..18) / 100,
                withhold_rate: f64::from(self.rng.random_range(10..60)) / 200.0,
                product_type: product_type.to_owned(),
                fee_discount_rate,
                financing_type: types[self.rng.random_range(0..types.len())].to_owned(),
                ..NewOffer::default()
            },
        );
    }

    /// Stripe offers more at about three quarters (<https://docs.stripe.com/capital/refills>).
    fn refill_when_due(&mut self, newest: &Value) {
        let amount = |name: &str| newest["accepted_terms"][name].as_i64().unwrap();
        let total = amount("advance_amount") + amount("fee_amount");
        let active = self.simulator.active_financings(&self.account);
        let financing = active.iter().find(|active| newest["id"] == active.offer.as_str());
        let is_due = financing.is_some_and(|financing| 4 * financing.remaining_minor <= total);
        if is_due && self.happens(0.3) {
            self.create_offer();
        }
    }

    /// What happens to the oldest financing besides what is withheld for it.
    fn step_of_financing(&mut self, offer: &str, remaining: i64, active: usize) {
        let by_balance = self.rng.random_bool(0.5);
        let from = if by_balance { PaymentSource::Balance } else { PaymentSource::BankAccount };
        let minor = self.rng.random_range(1..=remaining.min(5_000));
        match self.rng.random_range(0..100) {
            0..4 => drop(self.simulator.pay(offer, minor, from)),
            4..8 => drop(self.simulator.collect(offer, minor, from)),
            8..11 => self.reverse_one("collection", ReversalReason::CollectionFailure),
            11..13 => self.reverse_one("user_initiated", ReversalReason::RequestedByUser),
            13..15 => self.reverse_one("automatic_withholding", ReversalReason::WithholdingRefund),
            15 => drop(self.simulator.perform(Action::Repay, offer)),
            16..18 if active == 1 => drop(self.simulator.perform(Action::Cancel, offer)),
            _ => {}
        }
    }

    /// Reverses one of the account's payments for that reason.
    fn reverse_one(&mut self, reason: &str, reversal: ReversalReason) {
        let transactions = self.simulator.transactions(&self.account);
        let matches = |transaction: &&Value| {
            transaction["type"] == "payment" && transaction["details"]["reason"] == reason
        };
        let payments: Vec<&Value> = transactions.iter().filter(matches).collect();
        if !payments.is_empty() {
            let payment = payments[self.rng.random_range(0..payments.len())];
            let _ = self.simulator.reverse(payment["id"].as_str().unwrap(), reversal);
        }
    }
}
