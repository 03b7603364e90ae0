//! Explains the amount of a payout: gross sales, less fees, less what was withheld.
//!
//! An explanation adds up the balance transactions of a payout
//! (`GET /v1/balance_transactions?payout=…`) by their `reporting_category`
//! (<https://docs.stripe.com/reports/reporting-categories>). Unknown categories are shown as other,
//! and a remaining gap is shown as unexplained.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use sqlx::types::Json;
use utoipa::ToSchema;

use super::report::Days;
use super::{Financings, LookupError};
use crate::database::with_timeout;
use crate::stripe::{AccountId, BalanceTransaction, Payout};

// The API serializes the two types below: their fields and descriptions are public.

/// A payout to the merchant's bank and its composition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PayoutLine)]
pub struct Explanation {
    #[schema(example = "po_1Q2w3E4r5T6y7U8i")]
    pub payout_id: String,
    /// As Stripe names it: `paid`, `pending`, `in_transit`, `canceled`, `failed`. More values may
    /// be added. Failed and canceled payouts are in no total.
    #[schema(example = "paid")]
    pub status: String,
    /// The day on which the bank should receive it.
    pub arrives_on: NaiveDate,
    /// Whether Stripe lists all of its components: not yet for a payout that is being reconciled,
    /// never for a manual or instant payout.
    // <https://docs.stripe.com/payouts/reconciliation>
    #[serde(default)]
    #[schema(required = true)]
    pub is_complete: bool,
    #[serde(flatten)]
    pub sums: PayoutSums,
}

/// The composition of payouts, in minor units of `currency`.
///
/// `gross_sales + advanced + other - refunds - platform_fees - other_fees - withheld` equals
/// `paid_out - unexplained`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PayoutSums {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    pub currency: String,
    /// Customers' payments; for a destination charge, the amount transferred to the account.
    pub gross_sales_minor: i64,
    /// Returned to customers by refunds and disputes.
    pub refunds_minor: i64,
    /// Kept by the platform.
    pub platform_fees_minor: i64,
    /// Fees and taxes kept by Stripe.
    pub other_fees_minor: i64,
    /// Moved from the balance to the financing, less what was returned.
    pub withheld_minor: i64,
    /// Advances added to the balance, less those taken back.
    pub advanced_minor: i64,
    /// Everything else, signed.
    pub other_minor: i64,
    /// The amount of the payout.
    pub paid_out_minor: i64,
    /// The part that the listed components do not explain: 0 if `is_complete`.
    pub unexplained_minor: i64,
}

/// Each payout costs a request to Stripe, and a person waits for the answer.
pub const MAX_DAYS: i64 = 31;

impl Financings {
    /// Explains the payouts that arrive within `days`, newest first.
    pub async fn payouts(
        &self,
        account: &AccountId,
        days: Days,
    ) -> Result<Vec<Explanation>, LookupError> {
        // `arrival_date` is a date, encoded as its midnight in UTC, whatever the account's time
        // zone.
        let (from, until) = (days.from(Tz::UTC).timestamp(), days.until(Tz::UTC).timestamp());
        let payouts = self.stripe.payouts(account, from, until).await?;
        let mut explanations = Vec::with_capacity(payouts.len());
        for payout in &payouts {
            explanations.push(self.explain(account, payout).await?);
        }
        Ok(explanations)
    }

    async fn explain(
        &self,
        account: &AccountId,
        payout: &Payout,
    ) -> Result<Explanation, LookupError> {
        // A pending payout can still fail, and before reconciliation the list is incomplete.
        // Only a final explanation may be stored.
        let is_final = payout.status == "paid" && is_listed(payout);
        if is_final
            && let Some(stored) = with_timeout(find(&self.db, account.as_str(), &payout.id)).await?
        {
            return Ok(stored);
        }
        let mut explanation = Explanation::new(payout);
        if !is_never_listed(payout) {
            let add = |movement: BalanceTransaction| explanation.sums.add(payout, &movement);
            self.stripe.balance_transactions(account, &payout.id, add).await?;
        }
        explanation.sums.finish();
        if is_final {
            with_timeout(upsert(&self.db, account.as_str(), &explanation, self.clock.now()))
                .await?;
        }
        Ok(explanation)
    }
}

fn is_listed(payout: &Payout) -> bool {
    payout.reconciliation_status.as_deref() == Some("completed")
}

fn is_never_listed(payout: &Payout) -> bool {
    payout.reconciliation_status.as_deref() == Some("not_applicable")
}

impl Explanation {
    fn new(payout: &Payout) -> Self {
        Self {
            payout_id: payout.id.clone(),
            status: payout.status.clone(),
            arrives_on: payout.arrival_date.date_naive(),
            is_complete: is_listed(payout),
            sums: PayoutSums {
                currency: payout.currency.to_lowercase(),
                paid_out_minor: payout.amount,
                ..PayoutSums::default()
            },
        }
    }

    /// Whether the payout has arrived or can still arrive.
    fn arrives(&self) -> bool {
        !matches!(self.status.as_str(), "failed" | "canceled")
    }
}

/// The totals per currency of the payouts that arrive, ordered by currency.
pub fn totals(payouts: &[Explanation]) -> Vec<PayoutSums> {
    let mut totals: BTreeMap<&str, PayoutSums> = BTreeMap::new();
    for payout in payouts.iter().filter(|payout| payout.arrives()) {
        let sums = &payout.sums;
        totals
            .entry(&sums.currency)
            .and_modify(|total| total.merge(sums))
            .or_insert_with(|| sums.clone());
    }
    totals.into_values().collect()
}

/// Sums saturate: an absurd amount shows up as unexplained instead of wrapping.
impl PayoutSums {
    fn merge(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.gross_sales_minor, other.gross_sales_minor),
            (&mut self.refunds_minor, other.refunds_minor),
            (&mut self.platform_fees_minor, other.platform_fees_minor),
            (&mut self.other_fees_minor, other.other_fees_minor),
            (&mut self.withheld_minor, other.withheld_minor),
            (&mut self.advanced_minor, other.advanced_minor),
            (&mut self.other_minor, other.other_minor),
            (&mut self.paid_out_minor, other.paid_out_minor),
            (&mut self.unexplained_minor, other.unexplained_minor),
        ] {
            *sum = sum.saturating_add(part);
        }
    }

    fn add(&mut self, payout: &Payout, movement: &BalanceTransaction) {
        let is_itself = match &payout.balance_transaction {
            Some(id) => *id == movement.id,
            None => movement.category() == "payout",
        };
        // Never add two currencies. A payout has only one.
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
        let (sum, is_deduction) = self.sum_of(movement);
        // Amounts that leave the balance are negative; deductions are reported as positive sums.
        add(sum, if is_deduction { movement.amount.saturating_neg() } else { movement.amount });
    }

    /// The sum for this category, and whether it is a deduction.
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
            // Among them a failed earlier payout that returned to the balance.
            _ => (&mut self.other_minor, false),
        }
    }

    fn finish(&mut self) {
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

async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
    payout_id: &str,
) -> sqlx::Result<Option<Explanation>> {
    let found = sqlx::query_scalar!(
        r#"
        select explanation as "explanation: Json<Explanation>"
        from payout_explanations
        where account_id = $1 and payout_id = $2
        "#,
        account_id,
        payout_id,
    )
    .fetch_optional(db)
    .await?;
    // A row without `is_complete` may have been stored before reconciliation.
    Ok(found.map(|Json(explanation)| explanation).filter(|explanation| explanation.is_complete))
}

async fn upsert(
    db: impl PgExecutor<'_>,
    account_id: &str,
    explanation: &Explanation,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let object =
        serde_json::to_string(explanation).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query!(
        "
        insert into payout_explanations
            (payout_id, account_id, arrives_on, explanation, explained_at)
        values ($1, $2, $3, $4::text::json, $5)
        on conflict (payout_id) do update set explanation = excluded.explanation,
            explained_at = excluded.explained_at
        ",
        explanation.payout_id,
        account_id,
        explanation.arrives_on,
        object,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn explain(payout: &Payout, movements: &[BalanceTransaction]) -> PayoutSums {
        let mut explanation = Explanation::new(payout).sums;
        for movement in movements {
            explanation.add(payout, movement);
        }
        explanation.finish();
        explanation
    }

    fn payout(amount: i64) -> Payout {
        let arrival = 1_700_006_400;
        serde_json::from_value(
            json!({"id": "po_1", "amount": amount, "currency": "usd", "status": "paid",
                   "arrival_date": arrival, "balance_transaction": "txn_itself",
                   "reconciliation_status": "completed"}),
        )
        .unwrap()
    }

    fn movements(all: &[Value]) -> Vec<BalanceTransaction> {
        all.iter().map(|movement| serde_json::from_value(movement.clone()).unwrap()).collect()
    }

    fn sale(amount: i64, platform_fee: i64, stripe_fee: i64) -> Value {
        json!({
            "id": "txn_sale", "type": "charge", "reporting_category": "charge", "amount": amount,
            "fee": platform_fee + stripe_fee,
            "fee_details": [
                {"type": "application_fee", "amount": platform_fee},
                {"type": "stripe_fee", "amount": stripe_fee},
            ],
        })
    }

    fn moved(category: &str, amount: i64) -> Value {
        json!({
            "id": "txn_moved", "type": category, "reporting_category": category, "amount": amount,
            "fee": 0,
        })
    }

    /// Stripe's own example: five payments of 100 USD at 15 % withholding. With a platform fee of
    /// 4 %, and the share taken from the gross amount, 500 - 20 - 75 = 405 remain.
    #[test]
    fn sales_less_platform_fees_and_withholding_equal_the_payout() {
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(sale(10_000, 400, 0));
            all.push(moved("financing_paydown", -1_500));
        }
        all.push(json!({"id": "txn_itself", "type": "payout", "reporting_category": "payout",
                   "amount": -40_500}));
        let explanation = explain(&payout(40_500), &movements(&all));
        assert_eq!(
            (
                explanation.gross_sales_minor,
                explanation.platform_fees_minor,
                explanation.withheld_minor
            ),
            (50_000, 2_000, 7_500)
        );
        assert_eq!((explanation.paid_out_minor, explanation.unexplained_minor), (40_500, 0));
    }

    #[test]
    fn every_balance_transaction_is_in_one_of_the_sums() {
        let refund = json!({
            "id": "txn_r", "type": "refund", "reporting_category": "refund", "amount": -3_000,
            "fee": -120,
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
        let explanation = explain(&payout(105_313), &movements(&all));
        let sums = (
            explanation.gross_sales_minor,
            explanation.refunds_minor,
            explanation.platform_fees_minor,
            explanation.other_fees_minor,
        );
        assert_eq!(sums, (11_000, 4_000, 280, 400));
        assert_eq!(
            (explanation.withheld_minor, explanation.advanced_minor, explanation.other_minor),
            (1_000, 100_000, -7)
        );
        assert_eq!(explanation.unexplained_minor, 0);
        assert_eq!(explain(&payout(105_300), &movements(&all)).unexplained_minor, -13);
    }

    #[test]
    fn a_returned_payout_is_part_of_the_next_one() {
        let all = [sale(50_000, 0, 0), moved("payout_reversal", 40_000)];
        let explanation = explain(&payout(90_000), &movements(&all));
        assert_eq!(
            (explanation.gross_sales_minor, explanation.other_minor, explanation.unexplained_minor),
            (50_000, 40_000, 0)
        );
    }

    #[test]
    fn absurd_amounts_and_other_currencies_are_unexplained() {
        let huge =
            [moved("charge", i64::MAX), moved("charge", i64::MAX), moved("refund", i64::MIN)];
        assert_ne!(explain(&payout(1), &movements(&huge)).unexplained_minor, 0);
        let mut foreign = sale(10_000, 0, 0);
        foreign["currency"] = json!("jpy");
        let explanation = explain(&payout(10_000), &movements(&[foreign]));
        assert_eq!((explanation.gross_sales_minor, explanation.unexplained_minor), (0, 10_000));
    }
}
