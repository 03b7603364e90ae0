//! What moved in each day, week or month of an account, by the account's own clock.

pub mod days;
pub mod store;

use chrono::{Datelike, Days as Span, Months, NaiveDate, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Financings;
use crate::database::with_timeout;
use crate::format::locale::start_of_day;
use crate::stripe::AccountId;
pub use days::{BadDays, Days};

/// How long the periods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// From midnight to midnight.
    Day,
    /// From Monday on (ISO 8601).
    Week,
    /// Of the calendar.
    Month,
}

impl Per {
    /// The first day of each that has one of these days in it.
    fn first_days(self, days: Days) -> Vec<NaiveDate> {
        let mut firsts = Vec::new();
        let mut first = self.first(days.first());
        while first <= days.last() {
            firsts.push(first);
            // Days end centuries before dates do.
            let Some(next) = self.after(first) else { break };
            first = next;
        }
        firsts
    }

    /// The first day of the one that a day is in.
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

/// What moved in a period, in one currency. Minor units. `advanced - paid` is by how much what is still to come rose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its first day by the account's clock; a period that the report cuts begins before the report does.
    pub begins_on: NaiveDate,
    /// Lower-case ISO code.
    pub currency: String,
    /// Advances and fees of what was paid out, less what was taken back.
    pub advanced_minor: i64,
    /// Shares of sales, less those that were given back.
    pub withheld_minor: i64,
    /// What came back in other ways, less what was undone of it.
    pub paid_otherwise_minor: i64,
    /// Both together.
    pub paid_minor: i64,
    /// How many movements that were.
    pub transactions: i64,
    /// How many there are besides of which nobody can tell what they did.
    pub unclear: i64,
}

/// What moved in an account.
#[derive(Clone, Debug)]
pub struct Report {
    /// The oldest first; a period in which nothing moved has no line.
    pub lines: Vec<Line>,
    /// Over all of them, a line for each currency, beginning on the report's first day.
    pub totals: Vec<Line>,
}

impl Financings {
    /// Adds up what moved in some days of an account, which end at midnight in `zone`.
    pub async fn report(
        &self,
        account: &AccountId,
        days: Days,
        per: Per,
        zone: Tz,
    ) -> sqlx::Result<Report> {
        let first_days = per.first_days(days);
        let beginnings: Vec<_> = first_days.iter().map(|day| start_of_day(*day, zone)).collect();
        let wanted = store::Wanted {
            account_id: account.as_str(),
            livemode: self.livemode(),
            from: days.from(zone),
            until: days.until(zone),
            first_days: &first_days,
            beginnings: &beginnings,
        };
        let lines = with_timeout(store::lines(&self.db, &wanted)).await?;
        let totals = totals(&lines, days.first());
        Ok(Report { lines, totals })
    }
}

fn totals(lines: &[Line], begins_on: NaiveDate) -> Vec<Line> {
    let mut totals: Vec<Line> = Vec::new();
    for line in lines {
        let Some(total) = totals.iter_mut().find(|total| total.currency == line.currency) else {
            totals.push(Line { begins_on, ..line.clone() });
            continue;
        };
        for (sum, part) in [
            (&mut total.advanced_minor, line.advanced_minor),
            (&mut total.withheld_minor, line.withheld_minor),
            (&mut total.paid_otherwise_minor, line.paid_otherwise_minor),
            (&mut total.paid_minor, line.paid_minor),
            (&mut total.transactions, line.transactions),
            (&mut total.unclear, line.unclear),
        ] {
            // The parts are sums of stored amounts; no account moves 92 quadrillion.
            *sum = sum.saturating_add(part);
        }
    }
    totals.sort_by(|one, other| one.currency.cmp(&other.currency));
    totals
}
