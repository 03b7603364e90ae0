//! Why a payout to a merchant's bank is as large as it is: gross sales, less the platform's fees, less what went to the financing.
//!
//! The line adds up what Stripe's own movements of the balance say (`GET /v1/balance_transactions?payout=…`), sorted by their
//! `reporting_category` (<https://docs.stripe.com/reports/reporting-categories>). What is sorted nowhere is shown as other, and what
//! does not add up is shown too.

mod store;

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::report::Days;
use super::{Financings, Unanswered};
use crate::database::with_timeout;
use crate::stripe::{AccountId, BalanceTransaction, Payout};

/// A payout to the merchant's bank, explained. Minor units of `currency`:
/// `gross_sales - refunds - platform_fees - other_fees - withheld + advanced + other = paid_out - unexplained`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// `po_…`
    pub payout_id: String,
    /// Stripe's word.
    pub status: String,
    /// The day on which the bank should have it.
    pub arrives_on: NaiveDate,
    /// Lower-case ISO code.
    pub currency: String,
    /// What customers paid; of a destination charge, what was transferred to the account.
    pub gross_sales_minor: i64,
    /// What went back to customers, by refunds and disputes.
    pub refunds_minor: i64,
    /// What the platform kept.
    pub platform_fees_minor: i64,
    /// What Stripe and tax offices kept.
    pub other_fees_minor: i64,
    /// What went from the balance to the financing, less what came back: shares of sales, and payments out of the balance.
    pub withheld_minor: i64,
    /// Advances that came into the balance, less those taken back.
    pub advanced_minor: i64,
    /// Everything else, with its own sign.
    pub other_minor: i64,
    /// What the bank gets.
    pub paid_out_minor: i64,
    /// What the movements lack of it: nothing, unless Stripe does not list them all.
    pub unexplained_minor: i64,
    /// Whether Stripe says that it lists all movements. Not yet of one that it is still reconciling; never of one that was made by hand,
    /// or at once (<https://docs.stripe.com/payouts/reconciliation>).
    #[serde(default)]
    pub is_complete: bool,
}

/// A payout is asked about one by one: more than a month's would keep somebody waiting.
pub const MAX_DAYS: i64 = 31;

impl Financings {
    /// The payouts that arrive in some days, explained, the newest first.
    pub async fn payouts(
        &self,
        account: &AccountId,
        days: Days,
    ) -> Result<Vec<Explanation>, Unanswered> {
        // Stripe's day of arrival is a date that is written as a moment, whatever the account's time zone.
        let (from, until) = (days.from(Tz::UTC).timestamp(), days.until(Tz::UTC).timestamp());
        let payouts = self.stripe.payouts(account, from, until).await?;
        let mut explanations = Vec::with_capacity(payouts.len());
        for payout in &payouts {
            explanations.push(self.explained(account, payout).await?);
        }
        Ok(explanations)
    }

    async fn explained(
        &self,
        account: &AccountId,
        payout: &Payout,
    ) -> Result<Explanation, Unanswered> {
        // One that is on its way can still fail; of one that is not reconciled Stripe lists some movements alone.
        let is_final = payout.status == "paid" && is_listed(payout);
        if is_final
            && let Some(known) =
                with_timeout(store::find(&self.db, account.as_str(), &payout.id)).await?
        {
            return Ok(known);
        }
        let mut line = Explanation::begin(payout);
        if !is_never_listed(payout) {
            let add = |movement: BalanceTransaction| line.add(payout, &movement);
            self.stripe.balance_transactions(account, &payout.id, add).await?;
        }
        line.end();
        if is_final {
            with_timeout(store::keep(&self.db, account.as_str(), &line, self.clock.now())).await?;
        }
        Ok(line)
    }
}

fn is_listed(payout: &Payout) -> bool {
    payout.reconciliation_status.as_deref() == Some("completed")
}

fn is_never_listed(payout: &Payout) -> bool {
    payout.reconciliation_status.as_deref() == Some("not_applicable")
}

/// Amounts are added up without wrapping: no account moves 92 quadrillion, and where one seems to, the line does not add up, and says so.
impl Explanation {
    fn begin(payout: &Payout) -> Self {
        Self {
            payout_id: payout.id.clone(),
            status: payout.status.clone(),
            arrives_on: payout.arrival_date.date_naive(),
            currency: payout.currency.to_lowercase(),
            gross_sales_minor: 0,
            refunds_minor: 0,
            platform_fees_minor: 0,
            other_fees_minor: 0,
            withheld_minor: 0,
            advanced_minor: 0,
            other_minor: 0,
            paid_out_minor: payout.amount,
            unexplained_minor: 0,
            is_complete: is_listed(payout),
        }
    }

    /// Whether the money is the merchant's, or on its way there.
    pub fn arrives(&self) -> bool {
        !matches!(self.status.as_str(), "failed" | "canceled")
    }

    fn add(&mut self, payout: &Payout, movement: &BalanceTransaction) {
        let is_itself = match &payout.balance_transaction {
            Some(id) => *id == movement.id,
            None => movement.category() == "payout",
        };
        // Amounts of two currencies have no sum. Stripe puts one alone into a payout.
        let is_other =
            movement.currency.as_ref().is_some_and(|its| !its.eq_ignore_ascii_case(&self.currency));
        if is_itself || is_other {
            return;
        }
        let of_platform = movement
            .fee_details
            .iter()
            .filter(|fee| fee.type_ == "application_fee")
            .fold(0_i64, |sum, fee| sum.saturating_add(fee.amount));
        let add = |sum: &mut i64, amount: i64| *sum = sum.saturating_add(amount);
        add(&mut self.platform_fees_minor, of_platform);
        add(&mut self.other_fees_minor, movement.fee.saturating_sub(of_platform));
        let (sum, is_taken_off) = self.sum_of(movement);
        // What leaves the balance has a minus, and these sums are told as what was taken off.
        add(sum, if is_taken_off { movement.amount.saturating_neg() } else { movement.amount });
    }

    /// The sum that a movement belongs to, and whether that is told as taken off.
    fn sum_of(&mut self, movement: &BalanceTransaction) -> (&mut i64, bool) {
        match movement.category() {
            "charge" | "payment" | "partial_capture_reversal" => {
                (&mut self.gross_sales_minor, false)
            }
            "refund"
            | "payment_refund"
            | "refund_failure"
            | "charge_failure"
            | "payment_failure_refund"
            | "dispute"
            | "dispute_reversal" => (&mut self.refunds_minor, true),
            "fee" | "stripe_fee" | "tax" => (&mut self.other_fees_minor, true),
            "financing_paydown" | "financing_paydown_reversal" | "anticipation_repayment" => {
                (&mut self.withheld_minor, true)
            }
            "financing_payout" | "financing_payout_reversal" | "advance" => {
                (&mut self.advanced_minor, false)
            }
            // An earlier payout that came back among them.
            _ => (&mut self.other_minor, false),
        }
    }

    fn end(&mut self) {
        let explained = [
            self.gross_sales_minor,
            self.refunds_minor.saturating_neg(),
            self.platform_fees_minor.saturating_neg(),
            self.other_fees_minor.saturating_neg(),
            self.withheld_minor.saturating_neg(),
            self.advanced_minor,
            self.other_minor,
        ];
        let explained = explained.into_iter().fold(0_i64, i64::saturating_add);
        self.unexplained_minor = self.paid_out_minor.saturating_sub(explained);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn explain(payout: &Payout, movements: &[BalanceTransaction]) -> Explanation {
        let mut line = Explanation::begin(payout);
        for movement in movements {
            line.add(payout, movement);
        }
        line.end();
        line
    }

    fn payout(amount: i64) -> Payout {
        let arrival = 1_700_006_400;
        serde_json::from_value(
            json!({"id": "po_1", "amount": amount, "currency": "usd", "status": "paid", "arrival_date": arrival,
                   "balance_transaction": "txn_itself", "reconciliation_status": "completed"}),
        )
        .unwrap()
    }

    fn movements(all: &[Value]) -> Vec<BalanceTransaction> {
        all.iter().map(|movement| serde_json::from_value(movement.clone()).unwrap()).collect()
    }

    fn sale(amount: i64, platform_fee: i64, stripe_fee: i64) -> Value {
        json!({
            "id": "txn_sale", "type": "charge", "reporting_category": "charge", "amount": amount, "fee": platform_fee + stripe_fee,
            "fee_details": [{"type": "application_fee", "amount": platform_fee}, {"type": "stripe_fee", "amount": stripe_fee}],
        })
    }

    fn moved(category: &str, amount: i64) -> Value {
        json!({"id": "txn_moved", "type": category, "reporting_category": category, "amount": amount, "fee": 0})
    }

    /// Stripe's own example: five payments of 100 USD at 15 %. They come to 405 where the platform takes 4 % and the share is taken of
    /// what the customers paid: 500 - 20 - 75.
    #[test]
    fn five_sales_of_a_hundred_at_fifteen_percent_come_to_405_with_a_fee_of_four() {
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(sale(10_000, 400, 0));
            all.push(moved("financing_paydown", -1_500));
        }
        all.push(
            json!({"id": "txn_itself", "type": "payout", "reporting_category": "payout", "amount": -40_500}),
        );
        let line = explain(&payout(40_500), &movements(&all));
        assert_eq!(
            (line.gross_sales_minor, line.platform_fees_minor, line.withheld_minor),
            (50_000, 2_000, 7_500)
        );
        assert_eq!((line.paid_out_minor, line.unexplained_minor), (40_500, 0));
    }

    #[test]
    fn everything_that_moves_a_balance_is_in_one_of_the_sums() {
        let refund = json!({
            "id": "txn_r", "type": "refund", "reporting_category": "refund", "amount": -3_000, "fee": -120,
            "fee_details": [{"type": "application_fee", "amount": -120}],
        });
        let all = [
            sale(10_000, 400, 320),
            refund,
            moved("financing_payout", 100_000),
            moved("financing_paydown", -1_500),
            moved("financing_paydown_reversal", 500),
            moved("dispute", -1_000),
            moved("fee", -50),
            moved("something_newer", -7),
            json!({"id": "txn_old", "type": "payment", "amount": 1_000, "fee": 30}),
        ];
        let line = explain(&payout(105_313), &movements(&all));
        let sums = (
            line.gross_sales_minor,
            line.refunds_minor,
            line.platform_fees_minor,
            line.other_fees_minor,
        );
        assert_eq!(sums, (11_000, 4_000, 280, 400));
        assert_eq!(
            (line.withheld_minor, line.advanced_minor, line.other_minor),
            (1_000, 100_000, -7)
        );
        assert_eq!(line.unexplained_minor, 0);
        assert_eq!(explain(&payout(105_300), &movements(&all)).unexplained_minor, -13);
    }

    #[test]
    fn a_payout_that_came_back_is_part_of_the_one_that_repeats_it() {
        let all = [sale(50_000, 0, 0), moved("payout_reversal", 40_000)];
        let line = explain(&payout(90_000), &movements(&all));
        assert_eq!(
            (line.gross_sales_minor, line.other_minor, line.unexplained_minor),
            (50_000, 40_000, 0)
        );
    }

    #[test]
    fn amounts_that_nobody_moves_or_of_another_currency_leave_a_line_that_does_not_add_up() {
        let huge =
            [moved("charge", i64::MAX), moved("charge", i64::MAX), moved("refund", i64::MIN)];
        assert_ne!(explain(&payout(1), &movements(&huge)).unexplained_minor, 0);
        let mut foreign = sale(10_000, 0, 0);
        foreign["currency"] = json!("jpy");
        let line = explain(&payout(10_000), &movements(&[foreign]));
        assert_eq!((line.gross_sales_minor, line.unexplained_minor), (0, 10_000));
    }
}
