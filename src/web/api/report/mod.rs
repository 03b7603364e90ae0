//! `/api/v1/accounts/{account}/report` and `…/report.csv`: what moved in each day, week or month of an account, by its own clock; or what
//! its payouts to the bank were made of.

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

use super::account::{Account, OfAccount};
use super::query::Query;
use super::{Platform, Refusal, StripeUnavailable};
use crate::financing::payouts::{Explanation, MAX_DAYS};
use crate::financing::report::{self, Days};
use crate::stripe::AccountId;

/// The days of a report that nobody says the days of, today among them.
const USUAL_DAYS: u64 = 30;
/// For so long Stripe is asked about payouts. Proxies give up sooner or later too.
const MAX_TALK: Duration = Duration::from_secs(55);

/// What to report. Days are days by the account's own clock, both ends in it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// What a line is about. `payout`: a payout to the merchant's bank that arrives in these days, at most 31 of them. The others: what
    /// moved in that time; a week begins on Monday.
    #[param(inline)]
    per: Per,
    /// The first day; without it, the 30th up to `until`.
    #[param(value_type = Option<String>, format = Date, example = "2026-11-01")]
    from: Option<NaiveDate>,
    /// The last day; without it, today.
    #[param(value_type = Option<String>, format = Date, example = "2026-11-30")]
    until: Option<NaiveDate>,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Per {
    Day,
    Week,
    Month,
    Payout,
}

/// What moved in an account, or what its payouts were made of: as `per` was.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Report {
    #[schema(value_type = String, example = "acct_1Q2w3E4r5T6y7U8i")]
    account: AccountId,
    /// The first day.
    from: NaiveDate,
    /// The last day.
    until: NaiveDate,
    /// Whose midnight the account's days end at, by its name in the IANA database.
    #[schema(example = "America/New_York")]
    time_zone: String,
    #[serde(flatten)]
    body: Body,
}

/// The lines, and what they add up to in each currency. `per` tells the two apart, also where there are no lines.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Body {
    Movements {
        #[schema(inline)]
        per: Stretch,
        lines: Vec<MovementLine>,
        totals: Vec<MovementLine>,
    },
    Payouts {
        #[schema(inline)]
        per: Payout,
        lines: Vec<PayoutLine>,
        totals: Vec<PayoutSums>,
    },
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Stretch {
    Day,
    Week,
    Month,
}

/// A payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Payout {
    Payout,
}

/// What moved in a day, week or month, in one currency. Minor units of `currency`. `advanced_minor - paid_minor` is by how much what is
/// still to come rose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct MovementLine {
    /// Its first day. A week or month that the report cuts begins before the report does, and is not whole. In a total: the report's first.
    begins_on: NaiveDate,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// Advances and fees of what was paid out, less what was taken back.
    advanced_minor: i64,
    /// Shares of sales, less those that were given back.
    withheld_minor: i64,
    /// What came back in other ways, less what was undone of it.
    paid_otherwise_minor: i64,
    /// Both together.
    paid_minor: i64,
    /// How many transactions that were.
    transactions: i64,
    /// How many there are besides of which nobody can tell what they did.
    unclear: i64,
}

/// A payout to the merchant's bank, and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct PayoutLine {
    #[schema(example = "po_1Q2w3E4r5T6y7U8i")]
    payout_id: String,
    /// Stripe's word: `paid`, `pending`, `in_transit`, `canceled`, `failed`. An open list. One that failed or was canceled is in no total.
    #[schema(example = "paid")]
    status: String,
    /// The day on which the bank should have it.
    arrives_on: NaiveDate,
    #[serde(skip)]
    arrives: bool,
    /// Whether Stripe lists all that it was made of: not yet of one that it is still reconciling, never of one by hand or an instant one.
    is_complete: bool,
    #[serde(flatten)]
    sums: PayoutSums,
}

/// What payouts were made of. Minor units of `currency`: `gross_sales - refunds - platform_fees - other_fees - withheld + advanced + other
/// = paid_out - unexplained`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct PayoutSums {
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    /// What customers paid; of a destination charge, what was transferred to the account.
    gross_sales_minor: i64,
    /// What went back to customers, by refunds and disputes.
    refunds_minor: i64,
    /// What the platform kept.
    platform_fees_minor: i64,
    /// What Stripe and tax offices kept.
    other_fees_minor: i64,
    /// What went from the balance to the financing, less what came back.
    withheld_minor: i64,
    /// Advances that came into the balance, less those taken back.
    advanced_minor: i64,
    /// Everything else, with its own sign.
    other_minor: i64,
    /// What the bank gets.
    paid_out_minor: i64,
    /// What the movements lack of it: nothing where a payout `is_complete`.
    unexplained_minor: i64,
}

/// Report what moved in an account
///
/// In each day, week or month by its own clock; or what each payout to its bank was made of.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/report",
    operation_id = "showReport",
    params(OfAccount, Wanted),
    responses((status = 200, body = Report, description = "The report")),
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    Account(account): Account,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Report>, Refusal> {
    platform.report(account, &wanted).await.map(Json)
}

/// Report the same for a spreadsheet
///
/// CSV (RFC 4180) in UTF-8, without a byte order mark: the lines alone, amounts as decimal numbers with a point beside their currency.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/report.csv",
    operation_id = "downloadReport",
    params(OfAccount, Wanted),
    responses((
        status = 200,
        body = String,
        content_type = "text/csv; charset=utf-8",
        description = "The report",
        example = "begins_on,currency,advanced,withheld,paid_otherwise,paid,transactions,unclear\r\n2026-11-24,USD,0.00,15.00,0.00,15.00,1,0\r\n",
    )),
)]
pub(super) async fn download(
    State(platform): State<Platform>,
    Account(account): Account,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let report = platform.report(account, &wanted).await?;
    let csv = table::write(&report).map_err(|error| {
        tracing::error!(%error, "cannot write a report as CSV");
        Refusal::Unavailable
    })?;
    // Ids and days: nothing in it needs escaping.
    let name =
        format!("attachment; filename=\"{}_{}_{}.csv\"", report.account, report.from, report.until);
    let headers =
        [(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, csv).into_response())
}

impl Platform {
    async fn report(&self, account: AccountId, wanted: &Wanted) -> Result<Report, Refusal> {
        let home = self.financings.home(&account).await;
        let zone = self.api.done(home, "cannot look up an account's time zone")?.time_zone;
        let today = self.api.clock.now().with_timezone(&zone).date_naive();
        let days = days(wanted, today)?;
        let body = match wanted.per {
            Per::Day => self.movements(&account, days, Stretch::Day, zone).await?,
            Per::Week => self.movements(&account, days, Stretch::Week, zone).await?,
            Per::Month => self.movements(&account, days, Stretch::Month, zone).await?,
            Per::Payout => self.payouts(&account, days).await?,
        };
        let (from, until) = (days.first(), days.last());
        Ok(Report { account, from, until, time_zone: zone.name().to_owned(), body })
    }

    async fn movements(
        &self,
        account: &AccountId,
        days: Days,
        per: Stretch,
        zone: Tz,
    ) -> Result<Body, Refusal> {
        let report = self.financings.report(account, days, per.into(), zone).await;
        let report = self.api.done(report, "cannot add up what moved in an account")?;
        let told = |lines: Vec<report::Line>| lines.into_iter().map(MovementLine::from).collect();
        Ok(Body::Movements { per, lines: told(report.lines), totals: told(report.totals) })
    }

    async fn payouts(&self, account: &AccountId, days: Days) -> Result<Body, Refusal> {
        if days.count() > MAX_DAYS {
            return Err(Refusal::TooManyDays);
        }
        // What was explained is remembered: another try goes on where this one ended.
        let payouts = tokio::time::timeout(MAX_TALK, self.financings.payouts(account, days)).await;
        let payouts = payouts.map_err(|_| Refusal::Stripe(StripeUnavailable::Down))?;
        let payouts = self.api.answered(payouts, "cannot explain an account's payouts")?;
        let lines: Vec<PayoutLine> = payouts.into_iter().map(PayoutLine::from).collect();
        let arriving: Vec<&PayoutSums> =
            lines.iter().filter(|line| line.arrives).map(|line| &line.sums).collect();
        Ok(Body::Payouts { per: Payout::Payout, totals: totals(&arriving), lines })
    }
}

fn days(wanted: &Wanted, today: NaiveDate) -> Result<Days, Refusal> {
    let until = wanted.until.unwrap_or(today);
    let usual = until.checked_sub_days(Span::new(USUAL_DAYS - 1)).unwrap_or(until);
    Days::new(wanted.from.unwrap_or(usual), until).map_err(Refusal::from)
}

fn totals(lines: &[&PayoutSums]) -> Vec<PayoutSums> {
    let mut totals: Vec<PayoutSums> = Vec::new();
    for sums in lines {
        match totals.iter_mut().find(|total| total.currency == sums.currency) {
            Some(total) => total.add(sums),
            None => totals.push((*sums).clone()),
        }
    }
    totals.sort_by(|one, other| one.currency.cmp(&other.currency));
    totals
}

impl PayoutSums {
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
            // No account moves 92 quadrillion.
            *sum = sum.saturating_add(part);
        }
    }
}

impl From<Stretch> for report::Per {
    fn from(stretch: Stretch) -> Self {
        match stretch {
            Stretch::Day => Self::Day,
            Stretch::Week => Self::Week,
            Stretch::Month => Self::Month,
        }
    }
}

impl From<report::Line> for MovementLine {
    fn from(line: report::Line) -> Self {
        let report::Line { begins_on, currency, advanced_minor, withheld_minor, .. } = line;
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
        let sums = PayoutSums {
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
