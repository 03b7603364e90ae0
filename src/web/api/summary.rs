//! `GET /api/v1/accounts/{account}/summary`: an account's current financing as Stripe reports it,
//! and the totals of our own ledger.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::request::{AccountParams, AccountPath};
use super::{Platform, Refusal};
use crate::financing::ledger::Totals;
use crate::financing::summary::{self, SummaryComparison};
use crate::stripe::{AccountId, Period, SummaryDetails, SummaryStatus};

/// The current state of an account's financing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summary {
    #[schema(value_type = String, example = "acct_1Q2w3E4r5T6y7U8i")]
    account: AccountId,
    /// Stripe's summary status, which is not the status of an offer: `accepted` (a financing is
    /// running or applied for), `delivered` (an offer is open), `none`. More values may be added;
    /// null if Stripe sends none.
    #[schema(example = "accepted")]
    status: Option<String>,
    /// The financing that Stripe's summary covers: one, even if two run side by side.
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer_id: Option<String>,
    /// Its amounts as Stripe reports them; null without a financing.
    financing: Option<Financing>,
    /// When Stripe's summary was read.
    as_of: DateTime<Utc>,
    /// False if Stripe did not answer and the summary is older than it should be.
    is_current: bool,
    /// How the ledger differs from Stripe's summary; null if they agree or if there is nothing to
    /// compare. A difference can appear for a moment, while an event is on its way.
    difference: Option<Difference>,
    /// The ledger totals of each financing, the newest financing first.
    ledger: Vec<Totals>,
}

/// A financing's amounts as Stripe reports them, in minor units of `currency`.
#[derive(Debug, Serialize, ToSchema)]
struct Financing {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// The amount advanced.
    #[schema(example = 1_000_000)]
    advance_minor: i64,
    /// The flat fee.
    #[schema(example = 100_000)]
    fee_minor: i64,
    /// Paid so far, advance and fee together.
    #[schema(example = 150_000)]
    paid_minor: i64,
    /// Still to be paid.
    #[schema(example = 950_000)]
    remaining_minor: i64,
    /// The fraction of daily sales that is withheld: 0.15 is 15 %.
    #[schema(example = 0.15)]
    withhold_rate: f64,
    /// The total to be paid, whatever has been paid of it; null if Stripe sends none.
    #[schema(example = 1_100_000)]
    total_due_minor: Option<i64>,
    /// Still open from earlier periods; null if Stripe sends none, as for cash advances.
    #[schema(example = 0)]
    overdue_minor: Option<i64>,
    /// When the advance was paid out; null before that.
    advance_paid_out_at: Option<DateTime<Utc>>,
    /// When withholding begins.
    paydown_begins_at: Option<DateTime<Utc>>,
    /// The current period, if the contract has periods.
    current_period: Option<CurrentPeriod>,
}

/// A period with a minimum payment, in minor units of the financing's currency.
#[derive(Debug, Serialize, ToSchema)]
struct CurrentPeriod {
    /// When the period began; null if Stripe sends no time.
    starts_at: Option<DateTime<Utc>>,
    /// When the minimum is due.
    due_at: Option<DateTime<Utc>>,
    /// Paid in this period.
    paid_minor: Option<i64>,
    /// Still to be paid in this period.
    remaining_minor: Option<i64>,
}

/// The ledger's amounts minus Stripe's, in minor units of `currency`.
#[derive(Debug, Serialize, ToSchema)]
struct Difference {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// Advance and fee.
    advanced_minor: i64,
    /// Paid.
    paid_minor: i64,
    /// Still to be paid.
    remaining_minor: i64,
}

/// Show an account's financing summary
///
/// Stripe's summary, at most a minute old if Stripe answers, and the totals of the known
/// transactions.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/summary",
    operation_id = "showSummary",
    params(AccountParams),
    responses((status = 200, body = Summary, description = "The summary")),
)]
pub(super) async fn show(
    State(Platform { api, financings, .. }): State<Platform>,
    AccountPath(account): AccountPath,
) -> Result<Json<Summary>, Refusal> {
    let comparison = financings.compare_summary(&account).await;
    let comparison =
        comparison.map_err(|error| api.lookup_refusal(&error, "cannot look up a summary"))?;
    Ok(Json(response(account, comparison)))
}

fn response(account: AccountId, comparison: SummaryComparison) -> Summary {
    let SummaryComparison { summary, as_of, is_current, totals, difference } = comparison;
    let currency = summary.details.as_ref().map(|details| details.currency.to_lowercase());
    Summary {
        account,
        status: summary.status.as_ref().map(SummaryStatus::as_str).map(str::to_owned),
        offer_id: summary.financing_offer.map(String::from),
        difference: difference.zip(currency).map(Difference::from),
        financing: summary.details.map(Financing::from),
        as_of,
        is_current,
        ledger: totals,
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
            total_due_minor: details.total_due_amount,
            overdue_minor: details.overdue_amount,
            advance_paid_out_at: details.advance_paid_out_at,
            paydown_begins_at: details.paydown_begins_at,
            current_period: details.current_period.map(CurrentPeriod::from),
        }
    }
}

impl From<Period> for CurrentPeriod {
    fn from(period: Period) -> Self {
        let Period { starts_at, due_at, paid_amount, remaining_amount } = period;
        Self { starts_at, due_at, paid_minor: paid_amount, remaining_minor: remaining_amount }
    }
}

impl From<(summary::Difference, String)> for Difference {
    fn from((difference, currency): (summary::Difference, String)) -> Self {
        let summary::Difference { advanced_minor, paid_minor, remaining_minor } = difference;
        Self { currency, advanced_minor, paid_minor, remaining_minor }
    }
}
