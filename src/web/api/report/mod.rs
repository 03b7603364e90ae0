//! `/api/v1/accounts/{account}/report` and `…/report.csv`: an account's transactions added up per
//! day, week or month in its own time zone, or the composition of its payouts to the bank.

mod table;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::{Days as Span, NaiveDate};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::request::{AccountParams, AccountPath, Query};
use super::{Platform, Refusal, StripeUnavailable};
use crate::financing::payouts::{Explanation, MAX_DAYS};
use crate::financing::report::{self, Days};
use crate::stripe::AccountId;

/// Length of a report without `from`, the last day included.
const DEFAULT_DAYS: u64 = 30;
/// Time limit for asking Stripe about payouts. Proxies often give up after a minute.
const PAYOUTS_TIMEOUT: Duration = Duration::from_secs(55);

/// The report's period. Days are calendar days in the account's time zone; both ends are included.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportQuery {
    /// The unit of a line. `payout`: a payout to the merchant's bank that arrives within the
    /// period, which is limited to 31 days. The others: the transactions of that time; a week
    /// begins on Monday.
    #[param(inline)]
    per: PerQuery,
    /// The first day; defaults to 30 days up to `until`.
    #[param(value_type = Option<String>, format = Date, example = "2026-11-01")]
    from: Option<NaiveDate>,
    /// The last day; defaults to today.
    #[param(value_type = Option<String>, format = Date, example = "2026-11-30")]
    until: Option<NaiveDate>,
}

/// The unit of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PerQuery {
    Day,
    Week,
    Month,
    Payout,
}

/// A report; `per` decides the shape of its lines.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Report {
    #[schema(value_type = String, example = "acct_1Q2w3E4r5T6y7U8i")]
    account: AccountId,
    /// The first day.
    from: NaiveDate,
    /// The last day.
    until: NaiveDate,
    /// The account's time zone, as named in the IANA database.
    #[schema(example = "America/New_York")]
    time_zone: String,
    #[serde(flatten)]
    body: ReportBody,
}

/// The lines, and their totals per currency. `per` distinguishes the two shapes, even without
/// lines.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Body)]
enum ReportBody {
    Movements {
        #[schema(inline)]
        per: CalendarUnit,
        lines: Vec<MovementLine>,
        totals: Vec<MovementLine>,
    },
    Payouts {
        #[schema(inline)]
        per: PayoutUnit,
        lines: Vec<PayoutLine>,
        totals: Vec<PayoutTotals>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CalendarUnit {
    Day,
    Week,
    Month,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PayoutUnit {
    Payout,
}

/// The transactions of a day, week or month in one currency, in minor units of `currency`.
/// `advanced_minor - paid_minor` is the increase of the amount still to be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct MovementLine {
    /// Its first day. A week or month that the report's start cuts begins before the report and is
    /// incomplete. In a total: the report's first day.
    begins_on: NaiveDate,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// Advances and fees paid out, less what was taken back.
    advanced_minor: i64,
    /// Withheld shares of sales, less those returned.
    withheld_minor: i64,
    /// Other payments, less reversals.
    paid_otherwise_minor: i64,
    /// `withheld_minor` and `paid_otherwise_minor` together.
    paid_minor: i64,
    /// Number of transactions.
    transactions: i64,
    /// Number of further transactions, of unknown effect.
    unclear: i64,
}

/// A payout to the merchant's bank and its composition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct PayoutLine {
    #[schema(example = "po_1Q2w3E4r5T6y7U8i")]
    payout_id: String,
    /// As Stripe names it: `paid`, `pending`, `in_transit`, `canceled`, `failed`. More values may
    /// be added. Failed and canceled payouts are in no total.
    #[schema(example = "paid")]
    status: String,
    /// The day on which the bank should receive it.
    arrives_on: NaiveDate,
    /// Whether it counts towards the totals.
    #[serde(skip)]
    arrives: bool,
    /// Whether Stripe lists all of its components: not yet for a payout that is being reconciled,
    /// never for a manual or instant payout.
    is_complete: bool,
    #[serde(flatten)]
    sums: PayoutTotals,
}

/// The composition of payouts, in minor units of `currency`.
///
/// `gross_sales + advanced + other - refunds - platform_fees - other_fees - withheld` equals
/// `paid_out - unexplained`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PayoutSums)]
struct PayoutTotals {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// Customers' payments; for a destination charge, the amount transferred to the account.
    gross_sales_minor: i64,
    /// Returned to customers by refunds and disputes.
    refunds_minor: i64,
    /// Kept by the platform.
    platform_fees_minor: i64,
    /// Fees and taxes kept by Stripe.
    other_fees_minor: i64,
    /// Moved from the balance to the financing, less what was returned.
    withheld_minor: i64,
    /// Advances added to the balance, less those taken back.
    advanced_minor: i64,
    /// Everything else, signed.
    other_minor: i64,
    /// The amount of the payout.
    paid_out_minor: i64,
    /// The part that the listed components do not explain: 0 if `is_complete`.
    unexplained_minor: i64,
}

/// Report an account's transactions or payouts
///
/// The transactions per day, week or month in the account's time zone, or the composition of each
/// payout to its bank.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/report",
    operation_id = "showReport",
    params(AccountParams, ReportQuery),
    responses((status = 200, body = Report, description = "The report")),
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    AccountPath(account): AccountPath,
    Query(query): Query<ReportQuery>,
) -> Result<Json<Report>, Refusal> {
    platform.report(account, &query).await.map(Json)
}

/// Download a report as CSV
///
/// CSV (RFC 4180) in UTF-8 without a byte order mark: the lines without totals. Amounts are decimal
/// numbers with a point, beside their currency.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/report.csv",
    operation_id = "downloadReport",
    params(AccountParams, ReportQuery),
    responses((
        status = 200,
        body = String,
        content_type = "text/csv; charset=utf-8",
        description = "The report",
        example = "begins_on,currency,advanced,withheld,paid_otherwise,paid,transactions,unclear\r\n\
            2026-11-24,USD,0.00,15.00,0.00,15.00,1,0\r\n",
    )),
)]
pub(super) async fn download(
    State(platform): State<Platform>,
    AccountPath(account): AccountPath,
    Query(query): Query<ReportQuery>,
) -> Result<Response, Refusal> {
    let report = platform.report(account, &query).await?;
    let csv = table::write(&report).map_err(|error| {
        tracing::error!(%error, "cannot write a report as CSV");
        Refusal::Unavailable
    })?;
    // An id and dates: nothing in the file name needs escaping.
    let name =
        format!("attachment; filename=\"{}_{}_{}.csv\"", report.account, report.from, report.until);
    let headers =
        [(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, csv).into_response())
}

impl Platform {
    async fn report(&self, account: AccountId, query: &ReportQuery) -> Result<Report, Refusal> {
        let home = self.financings.locale(&account).await;
        let zone =
            self.api.database_result(home, "cannot look up an account's time zone")?.time_zone;
        let today = self.api.clock.now().with_timezone(&zone).date_naive();
        let days = days(query, today)?;
        let body = match query.per {
            PerQuery::Day => self.movements(&account, days, CalendarUnit::Day, zone).await?,
            PerQuery::Week => self.movements(&account, days, CalendarUnit::Week, zone).await?,
            PerQuery::Month => self.movements(&account, days, CalendarUnit::Month, zone).await?,
            PerQuery::Payout => self.payouts(&account, days).await?,
        };
        let (from, until) = (days.first(), days.last());
        Ok(Report { account, from, until, time_zone: zone.name().to_owned(), body })
    }

    async fn movements(
        &self,
        account: &AccountId,
        days: Days,
        per: CalendarUnit,
        zone: Tz,
    ) -> Result<ReportBody, Refusal> {
        let report = self.financings.report(account, days, per.into(), zone).await;
        let report = self.api.database_result(report, "cannot add up an account's transactions")?;
        let to_lines =
            |lines: Vec<report::ReportLine>| lines.into_iter().map(MovementLine::from).collect();
        Ok(ReportBody::Movements {
            per,
            lines: to_lines(report.lines),
            totals: to_lines(report.totals),
        })
    }

    async fn payouts(&self, account: &AccountId, days: Days) -> Result<ReportBody, Refusal> {
        if days.count() > MAX_DAYS {
            return Err(Refusal::TooManyDays);
        }
        // Finished payouts are cached, so a retry continues where this request stopped.
        let payouts =
            tokio::time::timeout(PAYOUTS_TIMEOUT, self.financings.payouts(account, days)).await;
        let payouts = payouts.map_err(|_| Refusal::Stripe(StripeUnavailable::Down))?;
        let payouts = self.api.financing_result(payouts, "cannot read an account's payouts")?;
        let lines: Vec<PayoutLine> = payouts.into_iter().map(PayoutLine::from).collect();
        let arriving: Vec<&PayoutTotals> =
            lines.iter().filter(|line| line.arrives).map(|line| &line.sums).collect();
        Ok(ReportBody::Payouts { per: PayoutUnit::Payout, totals: totals(&arriving), lines })
    }
}

fn days(query: &ReportQuery, today: NaiveDate) -> Result<Days, Refusal> {
    let until = query.until.unwrap_or(today);
    let default_start = until.checked_sub_days(Span::new(DEFAULT_DAYS - 1)).unwrap_or(until);
    Days::new(query.from.unwrap_or(default_start), until).map_err(Refusal::from)
}

fn totals(lines: &[&PayoutTotals]) -> Vec<PayoutTotals> {
    let mut totals: Vec<PayoutTotals> = Vec::new();
    for sums in lines {
        match totals.iter_mut().find(|total| total.currency == sums.currency) {
            Some(total) => total.add(sums),
            None => totals.push((*sums).clone()),
        }
    }
    totals.sort_by(|one, other| one.currency.cmp(&other.currency));
    totals
}

impl PayoutTotals {
    fn add(&mut self, other: &Self) {
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
            // Saturating: a total of 92 quadrillion is out of reach.
            *sum = sum.saturating_add(part);
        }
    }
}

impl From<CalendarUnit> for report::Granularity {
    fn from(unit: CalendarUnit) -> Self {
        match unit {
            CalendarUnit::Day => Self::Day,
            CalendarUnit::Week => Self::Week,
            CalendarUnit::Month => Self::Month,
        }
    }
}

impl From<report::ReportLine> for MovementLine {
    fn from(line: report::ReportLine) -> Self {
        let report::ReportLine { begins_on, currency, advanced_minor, withheld_minor, .. } = line;
        let (paid_otherwise_minor, paid_minor) = (line.paid_otherwise_minor, line.paid_minor);
        Self {
            begins_on,
            currency,
            advanced_minor,
            withheld_minor,
            paid_otherwise_minor,
            paid_minor,
            transactions: line.transactions,
            unclear: line.unclear,
        }
    }
}

impl From<Explanation> for PayoutLine {
    fn from(payout: Explanation) -> Self {
        let arrives = payout.arrives();
        let sums = PayoutTotals {
            currency: payout.currency,
            gross_sales_minor: payout.gross_sales_minor,
            refunds_minor: payout.refunds_minor,
            platform_fees_minor: payout.platform_fees_minor,
            other_fees_minor: payout.other_fees_minor,
            withheld_minor: payout.withheld_minor,
            advanced_minor: payout.advanced_minor,
            other_minor: payout.other_minor,
            paid_out_minor: payout.paid_out_minor,
            unexplained_minor: payout.unexplained_minor,
        };
        let Explanation { payout_id, status, arrives_on, is_complete, .. } = payout;
        Self { payout_id, status, arrives_on, arrives, is_complete, sums }
    }
}
