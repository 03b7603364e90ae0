//! `GET /api/v1/accounts/{account}/summary`: where an account's financing stands, as Stripe counts and as we do.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::account::{Account, OfAccount};
use super::{Platform, Refusal};
use crate::financing::ledger::Totals;
use crate::financing::summary::{self, SummaryComparison};
use crate::stripe::{AccountId, Period, SummaryDetails, SummaryStatus};

/// Where an account's financing stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summary {
    #[schema(value_type = String, example = "acct_1Q2w3E4r5T6y7U8i")]
    account: AccountId,
    /// Stripe's word, which is not an offer's status: `accepted` (a financing runs, or is applied for), `delivered` (there is an offer),
    /// `none`. An open list; null where Stripe does not say.
    #[schema(example = "accepted")]
    status: Option<String>,
    /// The financing that Stripe's summary shows: one, also where two run side by side.
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer_id: Option<String>,
    /// Its amounts as Stripe counts; null without a financing.
    financing: Option<Financing>,
    /// When Stripe was asked.
    as_of: DateTime<Utc>,
    /// False where Stripe should have been asked again, and did not answer.
    is_current: bool,
    /// How our sums are others than Stripe's; null where they agree, or where there is nothing to compare. It can be there for a moment,
    /// while an event is on its way.
    difference: Option<Difference>,
    /// What the transactions of each financing add up to, the newest financing first.
    ledger: Vec<Sums>,
}

/// A financing's amounts as Stripe counts. Minor units of `currency`.
#[derive(Debug, Serialize, ToSchema)]
struct Financing {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// What was paid out.
    #[schema(example = 1_000_000)]
    advance_minor: i64,
    /// The flat fee for it.
    #[schema(example = 100_000)]
    fee_minor: i64,
    /// What came back.
    #[schema(example = 150_000)]
    paid_minor: i64,
    /// What is still to come.
    #[schema(example = 950_000)]
    remaining_minor: i64,
    /// The share of daily sales: 0.15 is 15 %.
    #[schema(example = 0.15)]
    withhold_rate: f64,
    /// When the money went out; null before that.
    advance_paid_out_at: Option<DateTime<Utc>>,
    /// From when on a part of the sales goes to it.
    paydown_begins_at: Option<DateTime<Utc>>,
    /// The period that runs, where the contract has periods.
    current_period: Option<CurrentPeriod>,
}

/// A period with a minimum. Minor units of the financing's currency.
#[derive(Debug, Serialize, ToSchema)]
struct CurrentPeriod {
    /// By when the minimum is due.
    due_at: Option<DateTime<Utc>>,
    /// What came in of it.
    paid_minor: Option<i64>,
    /// What it lacks.
    remaining_minor: Option<i64>,
}

/// Our sums less Stripe's. Minor units of `currency`.
#[derive(Debug, Serialize, ToSchema)]
struct Difference {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// Of advance and fee.
    advanced_minor: i64,
    /// Of what came back.
    paid_minor: i64,
    /// Of what is still to come.
    remaining_minor: i64,
}

/// What the transactions of a financing add up to. Minor units of `currency`.
#[derive(Debug, Serialize, ToSchema)]
struct Sums {
    /// The financing; null for transactions that name none.
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer_id: Option<String>,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// The advance and the fee that were paid out, less what was taken back.
    advanced_minor: i64,
    /// What came back, less what was reversed.
    paid_minor: i64,
    /// The part of it that was withheld from sales, likewise.
    withheld_minor: i64,
    /// What is still to come.
    remaining_minor: i64,
    /// How many transactions are in none of the sums, as nobody can tell what they did.
    unclear: i64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

/// Show where an account's financing stands
///
/// As Stripe counts, asked within the last minute or remembered, and as the transactions add up that we know of.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/summary",
    operation_id = "showSummary",
    params(OfAccount),
    responses((status = 200, body = Summary, description = "Where it stands")),
)]
pub(super) async fn show(
    State(Platform { api, financings, .. }): State<Platform>,
    Account(account): Account,
) -> Result<Json<Summary>, Refusal> {
    let standing = api.answered(financings.standing(&account).await, "cannot look up a summary")?;
    Ok(Json(told(account, standing)))
}

fn told(account: AccountId, standing: SummaryComparison) -> Summary {
    let SummaryComparison { summary, as_of, is_current, totals, difference } = standing;
    let currency = summary.details.as_ref().map(|details| details.currency.to_lowercase());
    Summary {
        account,
        status: summary.status.as_ref().map(SummaryStatus::as_str).map(str::to_owned),
        offer_id: summary.financing_offer.map(String::from),
        difference: difference.zip(currency).map(Difference::from),
        financing: summary.details.map(Financing::from),
        as_of,
        is_current,
        ledger: totals.into_iter().map(Sums::from).collect(),
    }
}

impl From<SummaryDetails> for Financing {
    fn from(details: SummaryDetails) -> Self {
        Self {
            currency: details.currency.to_lowercase(),
            advance_minor: details.advance_amount,
            fee_minor: details.fee_amount,
            paid_minor: details.paid_amount,
            remaining_minor: details.remaining_amount,
            withhold_rate: details.withhold_rate,
            advance_paid_out_at: details.advance_paid_out_at,
            paydown_begins_at: details.paydown_begins_at,
            current_period: details.current_period.map(CurrentPeriod::from),
        }
    }
}

impl From<Period> for CurrentPeriod {
    fn from(period: Period) -> Self {
        let Period { due_at, paid_amount, remaining_amount } = period;
        Self { due_at, paid_minor: paid_amount, remaining_minor: remaining_amount }
    }
}

impl From<(summary::Difference, String)> for Difference {
    fn from((difference, currency): (summary::Difference, String)) -> Self {
        let summary::Difference { advanced_minor, paid_minor, remaining_minor } = difference;
        Self { currency, advanced_minor, paid_minor, remaining_minor }
    }
}

impl From<Totals> for Sums {
    fn from(totals: Totals) -> Self {
        let Totals { offer_id, currency, advanced_minor, paid_minor, withheld_minor, .. } = totals;
        let (remaining_minor, unclear) = (totals.remaining_minor, totals.unclear);
        let (first_at, last_at) = (totals.first_at, totals.last_at);
        Self {
            offer_id,
            currency,
            advanced_minor,
            paid_minor,
            withheld_minor,
            remaining_minor,
            unclear,
            first_at,
            last_at,
        }
    }
}
