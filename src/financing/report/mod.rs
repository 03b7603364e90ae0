//! Totals per day, week or month of an account, in the account's time zone.

pub mod days;

use chrono::{DateTime, Datelike, Days as Span, Months, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::Financings;
use super::sums::longest_period;
use crate::database::with_timeout;
use crate::format::csv::Cell;
use crate::format::locale::start_of_day;
use crate::stripe::AccountId;
pub use days::{BadDays, Days};

/// The length of the periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    Day,
    /// From Monday (ISO 8601).
    Week,
    /// A calendar month.
    Month,
}

impl Granularity {
    /// The first day of each period that overlaps these days.
    fn first_days(self, days: Days) -> Vec<NaiveDate> {
        std::iter::successors(Some(self.first(days.first())), |first| self.after(*first))
            .take_while(|first| *first <= days.last())
            .collect()
    }

    /// The first day of the period of a day.
    fn first(self, day: NaiveDate) -> NaiveDate {
        match self {
            Self::Day => day,
            Self::Week => day.week(Weekday::Mon).first_day(),
            Self::Month => day.with_day(1).unwrap_or(day),
        }
    }

    fn after(self, first: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => first.checked_add_days(Span::new(1)),
            Self::Week => first.checked_add_days(Span::new(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
        }
    }
}

// The API serializes it: the fields and their descriptions are public.

/// The transactions of a day, week or month in one currency, in minor units of `currency`.
/// `advanced_minor - paid_minor - discounted_minor` is the increase of the amount still to be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MovementLine)]
pub struct ReportLine {
    /// Its first day. A week or month that the report's start cuts begins before the report and is
    /// incomplete. In a total: the report's first day.
    pub begins_on: NaiveDate,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    pub currency: String,
    /// Advances and fees paid out, less what was taken back.
    pub advanced_minor: i64,
    /// Withheld shares of sales, less those returned.
    pub withheld_minor: i64,
    /// Other payments, less reversals.
    pub paid_otherwise_minor: i64,
    /// `withheld_minor` and `paid_otherwise_minor` together.
    pub paid_minor: i64,
    /// Number of transactions.
    pub transactions: i64,
    /// Number of further transactions, of unknown effect.
    pub unclear: i64,
    /// Discounts on fees because of refills. They are no transactions.
    pub discounted_minor: i64,
}

impl ReportLine {
    /// By how much it changes what remains to be paid.
    pub fn delta_minor(&self) -> i64 {
        let paid = self.paid_minor.saturating_add(self.discounted_minor);
        self.advanced_minor.saturating_sub(paid)
    }

    /// The line in a CSV file: its fields, in their order.
    pub fn cells(&self) -> [Cell; 9] {
        let amount = |minor| Cell::amount(minor, &self.currency);
        [
            self.begins_on.into(),
            Cell::currency(&self.currency),
            amount(self.advanced_minor),
            amount(self.withheld_minor),
            amount(self.paid_otherwise_minor),
            amount(self.paid_minor),
            self.transactions.into(),
            self.unclear.into(),
            amount(self.discounted_minor),
        ]
    }
}

/// The days of a report, and how they are grouped.
#[derive(Clone, Copy, Debug)]
pub struct ReportRequest<'a> {
    pub days: Days,
    pub granularity: Granularity,
    /// Days end at its midnight.
    pub zone: Tz,
    /// Only this financing; none for all.
    pub offer_id: Option<&'a str>,
}

#[derive(Clone, Debug)]
pub struct Report {
    /// Oldest first; periods without transactions have no line.
    pub lines: Vec<ReportLine>,
    /// The whole range: a line per currency, beginning on the report's first day.
    pub totals: Vec<ReportLine>,
}

impl Financings {
    /// Reports on an account.
    pub async fn report(
        &self,
        account: &AccountId,
        request: &ReportRequest<'_>,
    ) -> sqlx::Result<Report> {
        let ReportRequest { days, granularity, zone, offer_id } = *request;
        let first_days = granularity.first_days(days);
        let beginnings: Vec<_> = first_days.iter().map(|day| start_of_day(*day, zone)).collect();
        let query = ReportQuery {
            account_id: account.as_str(),
            offer_id,
            livemode: self.livemode(),
            from: days.from(zone),
            until: days.until(zone),
            first_days: &first_days,
            beginnings: &beginnings,
        };
        let lines = with_timeout(lines(&self.db, &query)).await?;
        let totals = totals(&lines, days.first());
        Ok(Report { lines, totals })
    }
}

fn totals(lines: &[ReportLine], begins_on: NaiveDate) -> Vec<ReportLine> {
    let mut totals: Vec<ReportLine> = Vec::new();
    for line in lines {
        let Some(total) = totals.iter_mut().find(|total| total.currency == line.currency) else {
            totals.push(ReportLine { begins_on, ..line.clone() });
            continue;
        };
        for (sum, part) in [
            (&mut total.advanced_minor, line.advanced_minor),
            (&mut total.withheld_minor, line.withheld_minor),
            (&mut total.paid_otherwise_minor, line.paid_otherwise_minor),
            (&mut total.paid_minor, line.paid_minor),
            (&mut total.transactions, line.transactions),
            (&mut total.unclear, line.unclear),
            (&mut total.discounted_minor, line.discounted_minor),
        ] {
            // Saturates, as the sums in the database do.
            *sum = sum.saturating_add(part);
        }
    }
    totals.sort_by(|one, other| one.currency.cmp(&other.currency));
    totals
}

struct ReportQuery<'a> {
    account_id: &'a str,
    offer_id: Option<&'a str>,
    livemode: Option<bool>,
    /// Inclusive.
    from: DateTime<Utc>,
    /// Exclusive.
    until: DateTime<Utc>,
    /// The first day of each period, ascending.
    first_days: &'a [NaiveDate],
    /// The start of each of them. Computed here, because Postgres has its own time zone database,
    /// which lacks some names.
    beginnings: &'a [DateTime<Utc>],
}

/// A line per period and currency with transactions, in this order.
async fn lines(db: impl PgExecutor<'_>, query: &ReportQuery<'_>) -> sqlx::Result<Vec<ReportLine>> {
    let bounds = [query.beginnings, &[query.from, query.until]].concat();
    sqlx::query_as!(
        ReportLine,
        r#"
        select ($6::date[])[width_bucket(begins_at, $5::timestamptz[])] as "begins_on!",
            currency as "currency!",
            saturated_bigint(coalesce(sum(amount)
                filter (where effect = 'advanced'), 0)) as "advanced_minor!",
            saturated_bigint(coalesce(sum(amount)
                filter (where effect = 'paid' and is_withholding), 0)) as "withheld_minor!",
            saturated_bigint(coalesce(sum(amount)
                filter (where effect = 'paid' and not is_withholding), 0))
                as "paid_otherwise_minor!",
            saturated_bigint(coalesce(sum(amount)
                filter (where effect = 'paid'), 0)) as "paid_minor!",
            coalesce(sum(movements)
                filter (where effect in ('advanced', 'paid')), 0)::bigint as "transactions!",
            coalesce(sum(movements) filter (where effect = 'unclear'), 0)::bigint as "unclear!",
            saturated_bigint(coalesce(sum(amount)
                filter (where effect = 'discounted'), 0)) as "discounted_minor!"
        from ledger_parts($1, $8, $3, $4)
        where ($2::boolean is null or livemode = $2) and ($7::text is null or offer_id = $7)
        group by 1, 2
        order by 1, 2
        "#,
        query.account_id,
        query.livemode,
        query.from,
        query.until,
        query.beginnings,
        query.first_days,
        query.offer_id,
        longest_period(&bounds),
    )
    .fetch_all(db)
    .await
}
