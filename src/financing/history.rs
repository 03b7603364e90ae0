//! An account's movements by week, in the account's time zone, with the balance after each week.

use chrono::{DateTime, Days as Span, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;
use sqlx::PgExecutor;

use super::Financings;
use super::ledger::store::{self, Balance};
use super::ledger::{Movement, Totals};
use super::sums::longest_period;
use crate::database::{Cursor, with_timeout};
use crate::format::locale::start_of_day;
use crate::stripe::AccountId;

/// Consecutive weeks, from Monday (ISO 8601), in a time zone.
#[derive(Clone, Debug)]
pub struct Weeks {
    /// Mondays, ascending.
    first_days: Vec<NaiveDate>,
    /// The start of each week, and the end of the last one.
    bounds: Vec<DateTime<Utc>>,
}

impl Weeks {
    /// The `count` weeks that end with the week of `last`.
    pub fn ending(last: DateTime<Utc>, count: u64, zone: Tz) -> Self {
        let monday = last.with_timezone(&zone).date_naive().week(Weekday::Mon).first_day();
        let weeks_ago = |weeks: u64| monday.checked_sub_days(Span::new(7 * weeks));
        let first_days: Vec<NaiveDate> = (0..count).rev().filter_map(weeks_ago).collect();
        let end = monday.checked_add_days(Span::new(7)).unwrap_or(monday);
        let days = first_days.iter().chain(std::iter::once(&end));
        let bounds = days.map(|day| start_of_day(*day, zone)).collect();
        Self { first_days, bounds }
    }

    pub fn first_days(&self) -> &[NaiveDate] {
        &self.first_days
    }

    pub fn from(&self) -> DateTime<Utc> {
        self.bounds.first().copied().unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Exclusive.
    pub fn until(&self) -> DateTime<Utc> {
        self.bounds.last().copied().unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The half-open range of the week that begins on `first_day`.
    pub fn range(&self, first_day: NaiveDate) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let at = self.first_days.binary_search(&first_day).ok()?;
        Some((*self.bounds.get(at)?, *self.bounds.get(at + 1)?))
    }

    /// The first day of the week of a moment within these weeks.
    pub fn of(&self, at: DateTime<Utc>) -> Option<NaiveDate> {
        let after = self.bounds.partition_point(|bound| *bound <= at);
        self.first_days.get(after.checked_sub(1)?).copied()
    }
}

/// The movements of a financing in a week, in minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeekLine {
    /// A Monday.
    pub first_day: NaiveDate,
    pub offer_id: Option<String>,
    /// Lower-case ISO 4217 code.
    pub currency: String,
    pub advanced_minor: i64,
    pub paid_minor: i64,
    pub discounted_minor: i64,
    pub movements: i64,
}

impl WeekLine {
    /// By how much it changes what remains to be paid.
    pub fn delta_minor(&self) -> i64 {
        let paid = self.paid_minor.saturating_add(self.discounted_minor);
        self.advanced_minor.saturating_sub(paid)
    }
}

/// What remains to be paid of all financings, by currency.
pub fn remaining(totals: &[Totals]) -> Vec<Balance> {
    let mut balances: Vec<Balance> = Vec::new();
    for financing in totals {
        let delta = financing.delta_minor();
        match balances.iter_mut().find(|balance| balance.currency == financing.currency) {
            Some(known) => known.remaining_minor = known.remaining_minor.saturating_add(delta),
            None => balances
                .push(Balance { currency: financing.currency.clone(), remaining_minor: delta }),
        }
    }
    balances
}

impl Financings {
    /// A line per week, financing and currency with movements, newest first.
    pub async fn by_week(&self, account: &AccountId, weeks: &Weeks) -> sqlx::Result<Vec<WeekLine>> {
        with_timeout(lines(&self.db, account.as_str(), self.livemode(), weeks)).await
    }

    /// The newest movements of each range, newest first.
    pub async fn newest_of_each(
        &self,
        account: &AccountId,
        ranges: &[(DateTime<Utc>, DateTime<Utc>)],
        limit: i64,
    ) -> sqlx::Result<Vec<Movement>> {
        let livemode = self.livemode();
        with_timeout(store::newest_of_each(&self.db, account.as_str(), livemode, ranges, limit))
            .await
    }

    /// The balances of all financings, or of one, after the movement at the cursor.
    pub async fn balances(
        &self,
        account: &AccountId,
        at: &Cursor<&str>,
        offer_id: Option<&str>,
    ) -> sqlx::Result<Vec<Balance>> {
        with_timeout(store::balances(&self.db, account.as_str(), self.livemode(), at, offer_id))
            .await
    }

    /// When each financing of an account was paid out.
    pub async fn payouts_of(
        &self,
        account: &AccountId,
    ) -> sqlx::Result<Vec<(String, DateTime<Utc>)>> {
        with_timeout(store::payouts(&self.db, account.as_str(), self.livemode())).await
    }

    /// The times of an account's first and last movement; none without a movement.
    pub async fn span(
        &self,
        account: &AccountId,
    ) -> sqlx::Result<Option<(DateTime<Utc>, DateTime<Utc>)>> {
        with_timeout(store::span(&self.db, account.as_str(), self.livemode())).await
    }

    /// The time of the newest movement before `before`, or of the newest of all.
    pub async fn newest_before(
        &self,
        account: &AccountId,
        before: Option<DateTime<Utc>>,
    ) -> sqlx::Result<Option<DateTime<Utc>>> {
        with_timeout(store::newest_before(&self.db, account.as_str(), self.livemode(), before))
            .await
    }
}

async fn lines(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    weeks: &Weeks,
) -> sqlx::Result<Vec<WeekLine>> {
    let beginnings = &weeks.bounds[..weeks.first_days.len()];
    // The bounds are computed here, because the time zones of Postgres lack some names.
    sqlx::query_as!(
        WeekLine,
        r#"
        select ($6::date[])[width_bucket(begins_at, $5::timestamptz[])] as "first_day!",
            offer_id as "offer_id?", currency as "currency!",
            saturated_bigint(coalesce(sum(amount)
                filter (where effect = 'advanced'), 0)) as "advanced_minor!",
            saturated_bigint(coalesce(sum(amount)
                filter (where effect = 'paid'), 0)) as "paid_minor!",
            saturated_bigint(coalesce(sum(amount)
                filter (where effect = 'discounted'), 0)) as "discounted_minor!",
            sum(movements)::bigint as "movements!"
        from ledger_parts($1, $7, $3, $4)
        where $2::boolean is null or livemode = $2
        group by 1, 2, 3
        order by 1 desc, 2, 3
        "#,
        account_id,
        livemode,
        weeks.from(),
        weeks.until(),
        beginnings,
        &weeks.first_days,
        longest_period(&weeks.bounds),
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_local_mondays_whatever_the_clocks_do() {
        let at = "2026-11-04T03:00:00Z".parse().unwrap();
        let weeks = Weeks::ending(at, 2, Tz::America__New_York);
        let days = ["2026-10-26", "2026-11-02"].map(|day| day.parse::<NaiveDate>().unwrap());
        assert_eq!(weeks.first_days(), days);
        assert_eq!(weeks.from().to_rfc3339(), "2026-10-26T04:00:00+00:00");
        // Clocks were set back on November 1.
        assert_eq!(weeks.range(days[1]).unwrap().0.to_rfc3339(), "2026-11-02T05:00:00+00:00");
        assert_eq!(weeks.until().to_rfc3339(), "2026-11-09T05:00:00+00:00");
        assert_eq!(weeks.of(at), Some(days[1]));
        assert_eq!(weeks.of(weeks.from()), Some(days[0]));
        assert_eq!(weeks.of("2026-10-26T03:59:59Z".parse().unwrap()), None);
    }
}
