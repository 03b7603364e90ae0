//! An inclusive range of calendar days, and its bounds in a time zone.

use chrono::{DateTime, Datelike, Days as Span, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::format::locale::start_of_day;

/// An inclusive range of calendar days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    first: NaiveDate,
    last: NaiveDate,
}

/// A range that a report does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDays {
    #[error("it ends before it begins")]
    Backwards,
    #[error("it is longer than ten years")]
    TooLong,
    #[error("it is not within the years 1970 to 9998")]
    Unknown,
}

const MAX_LENGTH: TimeDelta = TimeDelta::days(3_660);

impl Days {
    pub fn new(first: NaiveDate, last: NaiveDate) -> Result<Self, BadDays> {
        if last < first {
            return Err(BadDays::Backwards);
        }
        let is_known = |day: NaiveDate| (1970..=9998).contains(&day.year());
        if !is_known(first) || !is_known(last) {
            return Err(BadDays::Unknown);
        }
        if last - first > MAX_LENGTH {
            return Err(BadDays::TooLong);
        }
        Ok(Self { first, last })
    }

    /// The calendar month of a day.
    pub fn month_of(day: NaiveDate) -> Self {
        let first = day.with_day(1).unwrap_or(day);
        let next = first.checked_add_months(Months::new(1));
        Self { first, last: next.and_then(|next| next.pred_opt()).unwrap_or(day) }
    }

    pub fn first(self) -> NaiveDate {
        self.first
    }

    pub fn last(self) -> NaiveDate {
        self.last
    }

    pub fn count(self) -> i64 {
        (self.last - self.first).num_days() + 1
    }

    /// The start of the first day.
    pub fn from(self, zone: Tz) -> DateTime<Utc> {
        start_of_day(self.first, zone)
    }

    /// The end of the last day, exclusive.
    pub fn until(self, zone: Tz) -> DateTime<Utc> {
        start_of_day(self.last.checked_add_days(Span::new(1)).unwrap_or(self.last), zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_has_its_length_in_the_time_zone() {
        let hours = |date: &str, zone: Tz| {
            let days = Days::new(day(date), day(date)).unwrap();
            (days.until(zone) - days.from(zone)).num_hours()
        };
        assert_eq!(hours("2026-11-25", Tz::America__New_York), 24);
        assert_eq!(hours("2026-03-08", Tz::America__New_York), 23);
        assert_eq!(hours("2026-11-01", Tz::America__New_York), 25);
        // Cuba sets its clocks forward at midnight: that day begins at one.
        assert_eq!(hours("2026-03-08", Tz::America__Havana), 23);
        // Samoa skipped a day when it crossed the date line.
        assert_eq!(
            ["2011-12-29", "2011-12-30", "2011-12-31"].map(|date| hours(date, Tz::Pacific__Apia)),
            [24, 0, 24]
        );
    }

    #[test]
    fn days_begin_at_local_midnight() {
        let days = Days::new(day("2026-07-01"), day("2026-07-31")).unwrap();
        assert_eq!(days.from(Tz::Australia__Adelaide).to_rfc3339(), "2026-06-30T14:30:00+00:00");
        assert_eq!(days.until(Tz::Europe__Berlin).to_rfc3339(), "2026-07-31T22:00:00+00:00");
        assert_eq!(days.count(), 31);
    }

    #[test]
    fn invalid_ranges_are_rejected() {
        assert_eq!(Days::new(day("2026-01-02"), day("2026-01-01")), Err(BadDays::Backwards));
        assert_eq!(Days::new(day("2016-01-01"), day("2026-12-31")), Err(BadDays::TooLong));
        assert_eq!(Days::new(NaiveDate::MAX, NaiveDate::MAX), Err(BadDays::Unknown));
    }
}
