//! `capital.financing_summary` (<https://docs.stripe.com/api/capital/financing_summary>).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};

use super::OfferId;
use super::deserialize::{instant, lenient, maybe_id, maybe_seconds, open_enum};

/// Stripe's summary of an account's financing. Describes one financing, even if two run side by
/// side.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct FinancingSummary {
    /// Unlike the status of the offer, only three values.
    pub status: Option<SummaryStatus>,
    /// The financing that it describes.
    #[serde(default, deserialize_with = "maybe_id")]
    pub financing_offer: Option<OfferId>,
    /// None without a financing.
    pub details: Option<SummaryDetails>,
}

/// `details`. Amounts are minor units of `currency`.
#[derive(Clone, Debug, Deserialize)]
pub struct SummaryDetails {
    pub advance_amount: i64,
    pub fee_amount: i64,
    pub paid_amount: i64,
    pub remaining_amount: i64,
    /// ISO 4217 code, lower case.
    pub currency: String,
    /// The share of daily sales: 0.15 is 15 %.
    pub withhold_rate: f64,
    /// The total to be paid, whatever has been paid of it. Only newer previews send it.
    #[serde(default, deserialize_with = "lenient")]
    pub total_due_amount: Option<i64>,
    /// Open from earlier periods. Null for cash advances; only the newest previews send it.
    #[serde(default, deserialize_with = "lenient")]
    pub overdue_amount: Option<i64>,
    /// How the merchant can pay, such as `manual_payment`. Only the newest previews send it.
    #[serde(default, deserialize_with = "lenient")]
    pub enabled_payment_types: Option<Vec<String>>,
    /// Stripe's sources disagree whether these are seconds or milliseconds.
    #[serde(default, deserialize_with = "maybe_seconds_or_millis")]
    pub advance_paid_out_at: Option<DateTime<Utc>>,
    /// When withholding begins.
    #[serde(default, rename = "repayments_begin_at", deserialize_with = "maybe_seconds")]
    pub paydown_begins_at: Option<DateTime<Utc>>,
    /// The current period, if the contract has periods.
    #[serde(rename = "current_repayment_interval")]
    pub current_period: Option<Period>,
}

/// A period with a minimum payment.
#[derive(Clone, Debug, Deserialize)]
pub struct Period {
    /// Only newer previews send it.
    #[serde(default, deserialize_with = "maybe_seconds")]
    pub starts_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_seconds")]
    pub due_at: Option<DateTime<Utc>>,
    /// Paid towards the minimum.
    pub paid_amount: Option<i64>,
    /// Missing from the minimum.
    pub remaining_amount: Option<i64>,
}

open_enum! {
    /// `status` of a summary.
    SummaryStatus {
        /// A financing is running or applied for.
        Accepted = "accepted",
        /// An offer is open.
        Delivered = "delivered",
        None = "none",
    }
}

/// A number that would be after the year 5138 in seconds is taken as milliseconds.
fn maybe_seconds_or_millis<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    const MAX_SECONDS: f64 = 1e11;
    let number = Option::<f64>::deserialize(from)?;
    Ok(number
        .and_then(|number| instant(if number > MAX_SECONDS { number / 1000.0 } else { number })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn details(paid_out_at: &Value) -> SummaryDetails {
        serde_json::from_value(json!({
            "advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": 20_000,
            "remaining_amount": 90_000, "currency": "usd", "withhold_rate": 0.15,
            "advance_paid_out_at": paid_out_at, "repayments_begin_at": 1_700_000_000,
            "current_repayment_interval":
                {"due_at": 1_705_000_000, "paid_amount": null, "remaining_amount": 5_000},
        }))
        .unwrap()
    }

    #[test]
    fn milliseconds_and_seconds_give_the_same_time() {
        let seconds = details(&json!(1_700_000_000)).advance_paid_out_at.unwrap();
        assert_eq!(details(&json!(1_700_000_000_000_i64)).advance_paid_out_at, Some(seconds));
        assert_eq!(seconds.timestamp(), 1_700_000_000);
        assert_eq!(details(&Value::Null).advance_paid_out_at, None);
    }

    #[test]
    fn fields_of_previews_may_be_missing_null_or_of_another_type() {
        let without = details(&Value::Null);
        assert_eq!((without.total_due_amount, without.overdue_amount), (None, None));
        assert_eq!(without.current_period.unwrap().starts_at, None);
        let mut sent = json!({
            "advance_amount": 1, "fee_amount": 1, "paid_amount": 0, "remaining_amount": 2,
            "currency": "usd", "withhold_rate": 0.1, "total_due_amount": 2, "overdue_amount": 1,
            "current_repayment_interval": {
                "starts_at": 1_700_000_000, "due_at": 1_705_000_000, "remaining_amount": 1,
            },
        });
        let parse = |sent: &Value| serde_json::from_value::<SummaryDetails>(sent.clone()).unwrap();
        let with = parse(&sent);
        assert_eq!((with.total_due_amount, with.overdue_amount), (Some(2), Some(1)));
        let starts_at = with.current_period.unwrap().starts_at.unwrap();
        assert_eq!(starts_at.timestamp(), 1_700_000_000);
        for odd in [Value::Null, json!("1.00"), json!({"amount": 1})] {
            (sent["total_due_amount"], sent["overdue_amount"]) = (odd.clone(), odd);
            let odd = parse(&sent);
            assert_eq!((odd.total_due_amount, odd.overdue_amount), (None, None));
        }
    }

    #[test]
    fn an_empty_summary_is_read_in_every_form() {
        for summary in [
            json!({
                "object": "capital.financing_summary", "status": "none", "financing_offer": null,
                "details": null,
            }),
            json!({"status": null}),
            json!({}),
        ] {
            assert!(serde_json::from_value::<FinancingSummary>(summary).unwrap().details.is_none());
        }
        let newer: FinancingSummary = serde_json::from_value(json!({"status": "paused"})).unwrap();
        assert_eq!(newer.status, Some(SummaryStatus::Other("paused".into())));
    }
}
