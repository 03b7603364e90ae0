//! The months and years that statements are about.

use chrono::{Datelike, Months, NaiveDate};
use serde::Serialize;

use crate::financing::report::{Days, Granularity};
use crate::format::locale::Formats;

/// Stripe Capital did not exist before; earlier periods are not offered.
const FIRST_YEAR: i32 = 2000;
/// The choices of a form: ten years.
const MAX_MONTHS: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    /// By its first day.
    Month(NaiveDate),
    Year(i32),
}

/// A period, as the template reads it.
#[derive(Serialize)]
pub(super) struct PeriodChoice {
    /// `2026-11` or `2026`.
    id: String,
    name: String,
    is_year: bool,
}

/// The period of a statement, and those beside it.
pub(super) struct Periods {
    pub(super) shown: Period,
    /// It has not ended yet.
    pub(super) is_under_way: bool,
    /// None if it lies in the future.
    pub(super) next: Option<Period>,
    /// None if it lies before the first movement.
    pub(super) previous: Option<Period>,
    /// The first and the last month with movements; this month without any.
    span: (NaiveDate, NaiveDate),
}

fn month_of(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

impl Period {
    /// Parses `2026-11` or `2026`.
    fn parse(text: &str) -> Option<Self> {
        let period = match text.len() {
            4 => Self::Year(text.parse().ok()?),
            7 => Self::Month(format!("{text}-01").parse().ok()?),
            _ => return None,
        };
        (period.first().year() >= FIRST_YEAR).then_some(period)
    }

    /// As in a URL.
    pub(super) fn id(self) -> String {
        match self {
            Self::Month(first) => first.format("%Y-%m").to_string(),
            Self::Year(year) => year.to_string(),
        }
    }

    fn first(self) -> NaiveDate {
        match self {
            Self::Month(first) => first,
            Self::Year(year) => NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default(),
        }
    }

    pub(super) fn days(self) -> Days {
        let month = Days::month_of(self.first());
        match self {
            Self::Month(_) => month,
            Self::Year(year) => NaiveDate::from_ymd_opt(year, 12, 31)
                .and_then(|last| Days::new(self.first(), last).ok())
                .unwrap_or(month),
        }
    }

    pub(super) fn granularity(self) -> Granularity {
        match self {
            Self::Month(_) => Granularity::Day,
            Self::Year(_) => Granularity::Month,
        }
    }

    fn before(self) -> Option<Self> {
        let before = match self {
            Self::Month(first) => Self::Month(first.checked_sub_months(Months::new(1))?),
            Self::Year(year) => Self::Year(year - 1),
        };
        (before.first().year() >= FIRST_YEAR).then_some(before)
    }

    fn after(self) -> Option<Self> {
        Some(match self {
            Self::Month(first) => Self::Month(first.checked_add_months(Months::new(1))?),
            Self::Year(year) => Self::Year(year + 1),
        })
    }

    pub(super) fn view(self, formats: &Formats) -> PeriodChoice {
        let name = match self {
            Self::Month(first) => formats.month(first),
            Self::Year(year) => year.to_string(),
        };
        // French writes months in lower case, but a title begins with a capital.
        let mut letters = name.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        let name = first.chain(letters).collect();
        PeriodChoice { id: self.id(), name, is_year: matches!(self, Self::Year(_)) }
    }
}

impl Periods {
    /// The requested period; if none, an invalid or a future one is requested, the last month with
    /// movements, which are those from the first to the last day of `span`.
    pub(super) fn new(
        requested: Option<&str>,
        span: Option<(NaiveDate, NaiveDate)>,
        today: NaiveDate,
    ) -> Self {
        let current = month_of(today);
        let (first, last) = span.unwrap_or((today, today));
        let span = (month_of(first), month_of(last).min(current));
        let is_known = |period: &Period| period.first() <= today;
        let shown = requested.and_then(Period::parse).filter(is_known);
        let shown = shown.unwrap_or(Period::Month(span.1));
        // Before the first movement there is nothing, in any number of periods.
        let has_begun = |period: &Period| period.days().last() >= span.0;
        let previous = shown.before().filter(has_begun);
        let is_under_way = shown.days().last() >= today;
        Self { shown, is_under_way, next: shown.after().filter(is_known), previous, span }
    }

    /// The years and months to choose from, newest first: those with movements, and the one shown.
    pub(super) fn choices(&self, formats: &Formats) -> Vec<PeriodChoice> {
        let (first, last) = self.span;
        let last = last.max(month_of(self.shown.first()));
        let first = first.min(month_of(self.shown.first()));
        let mut choices = Vec::new();
        let months = std::iter::successors(Some(last), |month| {
            month.checked_sub_months(Months::new(1)).filter(|month| *month >= first)
        });
        let mut year = None;
        for month in months.take(MAX_MONTHS) {
            if year != Some(month.year()) {
                year = Some(month.year());
                choices.push(Period::Year(month.year()).view(formats));
            }
            choices.push(Period::Month(month).view(formats));
        }
        choices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::locale::Language;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn periods(requested: Option<&str>) -> Periods {
        Periods::new(requested, Some((day("2025-12-20"), day("2026-02-03"))), day("2026-03-31"))
    }

    #[test]
    fn the_last_month_with_movements_is_shown_unless_another_period_is_requested() {
        for odd in [None, Some("2026-04"), Some("2027"), Some("1999-12"), Some("x"), Some("")] {
            assert_eq!(periods(odd).shown, Period::Month(day("2026-02-01")), "{odd:?}");
        }
        let march = periods(Some("2026-03"));
        assert_eq!(march.shown.id(), "2026-03");
        assert_eq!(march.next, None);
        assert_eq!(march.previous.map(Period::id).as_deref(), Some("2026-02"));
        let year = periods(Some("2025"));
        assert_eq!(
            (year.shown.days().count(), year.shown.granularity()),
            (365, Granularity::Month)
        );
        assert_eq!(year.next, Some(Period::Year(2026)));
        assert_eq!(year.previous, None, "there are no movements before");
        let first = periods(Some("2025-12"));
        assert_eq!((first.previous, first.next), (None, Some(Period::Month(day("2026-01-01")))));
        assert_eq!(periods(Some("2010")).previous, None);
        let without = Periods::new(None, None, day("2026-03-31"));
        assert_eq!(without.shown, Period::Month(day("2026-03-01")));
    }

    #[test]
    fn the_choices_are_the_months_with_movements_and_their_years() {
        let formats = Formats::new(Language::French, Some("FR"));
        let choices = periods(None).choices(&formats);
        let names: Vec<&str> = choices.iter().map(|choice| choice.name.as_str()).collect();
        assert_eq!(names, ["2026", "Février 2026", "Janvier 2026", "2025", "Décembre 2025"]);
    }
}
