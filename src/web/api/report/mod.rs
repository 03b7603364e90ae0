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
use crate::financing::payouts::{self, Explanation, MAX_DAYS, PayoutSums};
use crate::financing::report::{Days, Granularity, ReportLine, ReportRequest};
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
        per: Granularity,
        lines: Vec<ReportLine>,
        totals: Vec<ReportLine>,
    },
    Payouts {
        #[schema(inline)]
        per: PayoutUnit,
        lines: Vec<Explanation>,
        totals: Vec<PayoutSums>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PayoutUnit {
    Payout,
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
        example = "begins_on,currency,advanced,withheld,paid_otherwise,paid,transactions,unclear,\
            discounted\r\n\
            2026-11-24,USD,0.00,15.00,0.00,15.00,1,0,0.00\r\n",
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
        let locale = self.financings.locale(&account);
        let locale = self.api.query("cannot look up an account's time zone", locale).await?;
        let zone = locale.time_zone;
        let today = self.api.clock.now().with_timezone(&zone).date_naive();
        let days = days(query, today)?;
        let body = match query.per {
            PerQuery::Day => self.movements(&account, days, Granularity::Day, zone).await?,
            PerQuery::Week => self.movements(&account, days, Granularity::Week, zone).await?,
            PerQuery::Month => self.movements(&account, days, Granularity::Month, zone).await?,
            PerQuery::Payout => self.payouts(&account, days).await?,
        };
        let (from, until) = (days.first(), days.last());
        Ok(Report { account, from, until, time_zone: zone.name().to_owned(), body })
    }

    async fn movements(
        &self,
        account: &AccountId,
        days: Days,
        per: Granularity,
        zone: Tz,
    ) -> Result<ReportBody, Refusal> {
        let request = ReportRequest { days, granularity: per, zone, offer_id: None };
        let report = self.financings.report(account, &request);
        let report = self.api.query("cannot add up an account's transactions", report).await?;
        Ok(ReportBody::Movements { per, lines: report.lines, totals: report.totals })
    }

    async fn payouts(&self, account: &AccountId, days: Days) -> Result<ReportBody, Refusal> {
        if days.count() > MAX_DAYS {
            return Err(Refusal::TooManyDays);
        }
        // Finished payouts are cached, so a retry continues where this request stopped.
        let payouts =
            tokio::time::timeout(PAYOUTS_TIMEOUT, self.financings.payouts(account, days)).await;
        let payouts = payouts.map_err(|_| Refusal::Stripe(StripeUnavailable::Down))?;
        let lines = payouts
            .map_err(|error| self.api.lookup_refusal(&error, "cannot read an account's payouts"))?;
        let totals = payouts::totals(&lines);
        Ok(ReportBody::Payouts { per: PayoutUnit::Payout, lines, totals })
    }
}

fn days(query: &ReportQuery, today: NaiveDate) -> Result<Days, Refusal> {
    let until = query.until.unwrap_or(today);
    let default_start = until.checked_sub_days(Span::new(DEFAULT_DAYS - 1)).unwrap_or(until);
    Days::new(query.from.unwrap_or(default_start), until).map_err(Refusal::from)
}
