//! The schedule of reminders: seven days after the first letter, fourteen days after, and every
//! thirty days from then on (<https://docs.stripe.com/capital/marketing>), within the merchant's
//! working hours. Each is off by default.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;

use crate::format::locale::first_moment;

/// A reminder needs at least this much time before the offer ends.
pub const MIN_REMAINING: TimeDelta = TimeDelta::days(1);
/// How long a reminder waits that this process has switched off: another process may have it on.
pub const DISABLED_RECHECK_INTERVAL: TimeDelta = TimeDelta::hours(1);

#[derive(Clone, Copy, Debug, Default)]
pub struct Schedule {
    pub after_7_days: bool,
    pub after_14_days: bool,
    /// From the fourteenth day on.
    pub every_30_days: bool,
    /// In the merchant's time zone.
    pub hours: Hours,
    /// In the merchant's time zone.
    pub weekdays: Weekdays,
}

/// From the first hour up to and excluding the second, both 0 to 24: `9-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours(u32, u32);

/// Starts on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekdays([bool; 7]);

impl Default for Hours {
    fn default() -> Self {
        Self(9, 17)
    }
}

impl Default for Weekdays {
    fn default() -> Self {
        Self([true, true, true, true, true, false, false])
    }
}

impl FromStr for Hours {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let hour = |text: &str| text.trim().parse().ok().filter(|hour| *hour <= 24);
        let (from, until) = given.split_once('-').ok_or("not a range of hours")?;
        match (hour(from), hour(until)) {
            (Some(from), Some(until)) if from < until => Ok(Self(from, until)),
            _ => Err("the first hour must come before the second, and neither be above 24"),
        }
    }
}

impl FromStr for Weekdays {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let mut days = [false; 7];
        for name in given.split(',') {
            let day: Weekday = name.trim().parse().map_err(|_| "not a day of the week")?;
            days[day.num_days_from_monday() as usize] = true;
        }
        Ok(Self(days))
    }
}

impl Schedule {
    /// Whether letters at this position go out; 0, the first letter, always does.
    pub fn is_on(&self, sequence: i16) -> bool {
        match sequence {
            ..=0 => true,
            1 => self.after_7_days,
            2 => self.after_14_days,
            3.. => self.every_30_days,
        }
    }

    /// Whether any reminder is on.
    pub fn is_enabled(&self) -> bool {
        self.after_7_days || self.after_14_days || self.every_30_days
    }

    /// The next moment within the sending hours in the merchant's time zone, or `None` if `now` is
    /// one.
    pub fn not_before(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = now.with_timezone(&zone);
        let (today, hour) = (local.date_naive(), local.hour());
        if self.weekdays.has(today) && (self.hours.0..self.hours.1).contains(&hour) {
            return None;
        }
        // Before the opening hour, today still counts.
        let first = u64::from(hour >= self.hours.0);
        (first..=7)
            .filter_map(|days| today.checked_add_days(Days::new(days)))
            .find(|day| self.weekdays.has(*day))
            .and_then(|day| self.morning(day, zone))
    }

    /// The first sending hour of a day.
    fn morning(&self, day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
        let hour = NaiveTime::from_hms_opt(self.hours.0, 0, 0)?;
        Some(first_moment(day.and_time(hour), zone))
    }
}

impl Weekdays {
    fn has(self, day: NaiveDate) -> bool {
        self.0[day.weekday().num_days_from_monday() as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_reminder_waits_for_the_merchants_working_hours() {
        let schedule = Schedule::default();
        for (now, zone, expected) in [
            // Tuesday noon in Chicago.
            ("2026-11-24T18:00:00Z", Tz::America__Chicago, None),
            // Before nine: the same day.
            ("2026-11-24T13:00:00Z", Tz::America__Chicago, Some("2026-11-24T15:00:00Z")),
            // At five: the next day.
            ("2026-11-24T23:00:00Z", Tz::America__Chicago, Some("2026-11-25T15:00:00Z")),
            // Friday evening: on Monday.
            ("2026-11-27T17:30:00Z", Tz::Europe__Berlin, Some("2026-11-30T08:00:00Z")),
            // On Sunday, in summer time.
            ("2026-06-07T10:00:00Z", Tz::Europe__Paris, Some("2026-06-08T07:00:00Z")),
        ] {
            assert_eq!(schedule.not_before(at(now), zone), expected.map(at), "{now} in {zone}");
        }
        // In Sydney it is Tuesday already.
        assert_eq!(schedule.not_before(at("2026-11-23T23:00:00Z"), Tz::Australia__Sydney), None);
    }

    #[test]
    fn an_hour_skipped_by_summer_time_begins_an_hour_later() {
        let sundays = Schedule {
            hours: "2-4".parse().unwrap(),
            weekdays: "sun".parse().unwrap(),
            ..Schedule::default()
        };
        let expected = at("2027-03-14T08:00:00Z");
        assert_eq!(
            sundays.not_before(at("2027-03-13T12:00:00Z"), Tz::America__Chicago),
            Some(expected)
        );
    }

    #[test]
    fn only_well_formed_hours_and_weekdays_parse() {
        assert_eq!("8-20".parse(), Ok(Hours(8, 20)));
        assert_eq!(" 0 - 24 ".parse(), Ok(Hours(0, 24)));
        assert_eq!(
            "mon, Tue,saturday".parse(),
            Ok(Weekdays([true, true, false, false, false, true, false]))
        );
        for bad in ["", "9", "17-9", "9-9", "9-25", "-1-5", "nine-five"] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
        assert!("".parse::<Weekdays>().is_err() && "mon,,tue".parse::<Weekdays>().is_err());
    }

    proptest! {
        #[test]
        fn a_reminder_waits_for_a_moment_within_the_hours(
            seconds in 1_700_000_000_i64..2_000_000_000,
            from in 0_u32..24,
            zone in 0_usize..596,
            day in 0_usize..7,
        ) {
            let mut weekdays = Weekdays([false; 7]);
            weekdays.0[day] = true;
            let schedule = Schedule { hours: Hours(from, 24), weekdays, ..Schedule::default() };
            let zone = chrono_tz::TZ_VARIANTS[zone % chrono_tz::TZ_VARIANTS.len()];
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            if let Some(later) = schedule.not_before(now, zone) {
                prop_assert!(later > now, "{now} to {later}");
                prop_assert!(later - now < TimeDelta::days(8), "{now} to {later}");
                prop_assert_eq!(schedule.not_before(later, zone), None);
            }
        }
    }
}
