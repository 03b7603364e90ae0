//! The reader's language, country and time zone, and the format of amounts, percentages and dates.
//!
//! Formats come from Unicode's CLDR through ICU4X, time zones from the IANA database. Both are
//! compiled in: the locale of the machine has no effect.

use std::str::FromStr;

use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use icu_calendar::{Date, Gregorian};
use icu_datetime::FixedCalendarDateTimeFormatter;
use icu_datetime::fieldsets::{MD, YM, YMD};
use icu_datetime::input::{DateTime as LocalDateTime, Time};
use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;

use super::money::Money;

/// A supported language, written as its ISO 639-1 code.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::IntoStaticStr,
)]
pub enum Language {
    /// Also for readers of all other languages.
    #[strum(serialize = "en")]
    English,
    #[strum(serialize = "de")]
    German,
    #[strum(serialize = "fr")]
    French,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the supported languages are {}", Language::ALL.map(Language::code).join(", "))]
pub struct UnknownLanguage;

impl Language {
    pub const ALL: [Self; 3] = [Self::English, Self::German, Self::French];

    /// The ISO 639-1 code.
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// The main language of a country, if it is supported.
    fn of_country(country: &str) -> Option<Self> {
        match country {
            "DE" | "AT" => Some(Self::German),
            "FR" => Some(Self::French),
            "US" | "GB" | "AU" | "CA" | "IE" | "NZ" => Some(Self::English),
            _ => None,
        }
    }

    /// The languages to write in, in order of preference: the account's own (a BCP 47 tag such as
    /// `fr-CA`), that of its country, English.
    pub fn preferred(tag: Option<&str>, country: Option<&str>) -> Vec<Self> {
        let said = tag.and_then(|tag| tag.split(['-', '_']).next()?.parse().ok());
        let spoken = country.and_then(Self::of_country);
        let mut preferred = Vec::new();
        for language in [said, spoken, Some(Self::English)].into_iter().flatten() {
            if !preferred.contains(&language) {
                preferred.push(language);
            }
        }
        preferred
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(code: &str) -> Result<Self, UnknownLanguage> {
        let code = code.trim().to_ascii_lowercase();
        Self::ALL.into_iter().find(|language| language.code() == code).ok_or(UnknownLanguage)
    }
}

/// The time zone of an account: its own (an IANA name), else one of its country, else UTC. For a
/// country with several zones, a central one, so that its working hours suit all of them.
pub fn time_zone(name: Option<&str>, country: Option<&str>) -> Tz {
    let of_country = match country.unwrap_or_default() {
        "US" => Tz::America__Chicago,
        "CA" => Tz::America__Toronto,
        "GB" => Tz::Europe__London,
        "DE" => Tz::Europe__Berlin,
        "AT" => Tz::Europe__Vienna,
        "FR" => Tz::Europe__Paris,
        "AU" => Tz::Australia__Sydney,
        "IE" => Tz::Europe__Dublin,
        "NZ" => Tz::Pacific__Auckland,
        _ => Tz::UTC,
    };
    name.and_then(|name| name.parse().ok()).unwrap_or(of_country)
}

pub fn start_of_day(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    first_moment(day.and_time(NaiveTime::MIN), zone)
}

/// The first moment at which local clocks show `local` or later. A daylight-saving change can skip
/// the time; a zone that crosses the date line skips a whole day, which then starts with the next
/// one.
pub fn first_moment(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let quarters = (0..=96).map(|quarters| local + TimeDelta::minutes(15 * quarters));
    let mut moments = quarters.filter_map(|local| zone.from_local_datetime(&local).earliest());
    moments.next().map_or_else(|| local.and_utc(), |moment| moment.to_utc())
}

/// Formats values for a language and country.
#[derive(Debug)]
pub struct Formats {
    language: Language,
    /// Language and country.
    locale: icu_locale_core::Locale,
    numbers: DecimalFormatter,
    days: FixedCalendarDateTimeFormatter<Gregorian, YMD>,
    short_days: FixedCalendarDateTimeFormatter<Gregorian, YMD>,
}

/// Symbols that are unambiguous among Capital's currencies.
const SIGNS: [(&str, &str); 6] =
    [("usd", "$"), ("gbp", "£"), ("eur", "€"), ("aud", "A$"), ("cad", "CA$"), ("jpy", "¥")];
/// Why formatters can always be created.
const HAS_FALLBACK: &str = "the compiled-in data have a fallback for every locale";
/// Keeps a number and its symbol on one line.
const NO_BREAK: char = '\u{a0}';

impl Formats {
    /// `country` is a two-letter ISO 3166 code.
    pub fn new(language: Language, country: Option<&str>) -> Self {
        let alone = match language {
            Language::English => icu_locale_core::locale!("en"),
            Language::German => icu_locale_core::locale!("de"),
            Language::French => icu_locale_core::locale!("fr"),
        };
        let tag = country.map(|country| format!("{language}-{country}"));
        let locale: icu_locale_core::Locale =
            tag.and_then(|tag| tag.parse().ok()).unwrap_or(alone.clone());
        // English text for a country that does not speak English keeps English numbers, or readers
        // would take 15.000 for fifteen.
        let is_at_home = language != Language::English
            || country.and_then(Language::of_country) == Some(Language::English);
        let in_numbers = if is_at_home { locale.clone() } else { alone };
        let numbers = DecimalFormatter::try_new(
            in_numbers.into(),
            icu_decimal::options::DecimalFormatterOptions::default(),
        );
        let short_days =
            FixedCalendarDateTimeFormatter::try_new(locale.clone().into(), YMD::medium());
        let days = FixedCalendarDateTimeFormatter::try_new(locale.clone().into(), YMD::long());
        Self {
            language,
            locale,
            numbers: numbers.expect(HAS_FALLBACK),
            days: days.expect(HAS_FALLBACK),
            short_days: short_days.expect(HAS_FALLBACK),
        }
    }

    /// `$1,000.00` in English, `1.000,00 €` in German.
    pub fn money(&self, money: &Money) -> String {
        self.amount(money.minor, money.decimals(), &money.currency)
    }

    fn amount(&self, minor: i64, decimals: u8, currency: &str) -> String {
        let mut number = Decimal::from(minor.unsigned_abs());
        number.multiply_pow10(-i16::from(decimals));
        let digits = self.numbers.format(&number).to_string();
        let minus = if minor < 0 { "-" } else { "" };
        let sign = SIGNS.iter().find(|(known, _)| *known == currency).map(|(_, sign)| *sign);
        match (sign, self.language) {
            (Some(sign), Language::English) => format!("{minus}{sign}{digits}"),
            (Some(sign), Language::German | Language::French) => {
                format!("{minus}{digits}{NO_BREAK}{sign}")
            }
            (None, Language::English | Language::German | Language::French) => {
                format!("{minus}{digits}{NO_BREAK}{}", currency.to_uppercase())
            }
        }
    }

    /// As [`Formats::money`], without decimals if they are zero: `$1,000`, but `$1,000.50`.
    pub fn money_short(&self, money: &Money) -> String {
        let mut decimals = money.decimals();
        let mut minor = money.minor;
        if minor % 10_i64.pow(u32::from(decimals)) == 0 {
            minor /= 10_i64.pow(u32::from(decimals));
            decimals = 0;
        }
        self.amount(minor, decimals, &money.currency)
    }

    /// A fraction of one as a percentage with at most two decimals, without trailing zeros:
    /// `12.5%`, `12,5 %`.
    pub fn percent(&self, share: f64) -> String {
        let text = format!("{:.2}", share * 100.0);
        let short = text.trim_end_matches('0').trim_end_matches('.');
        let digits = short.parse().map_or_else(
            |_| short.to_owned(),
            |number: Decimal| self.numbers.format(&number).to_string(),
        );
        match self.language {
            Language::English => format!("{digits}%"),
            Language::German | Language::French => format!("{digits}{NO_BREAK}%"),
        }
    }

    /// Replaces spaces at which a line must not break, such as before a colon in French.
    pub fn typeset(&self, text: &str) -> String {
        match self.language {
            Language::English | Language::German => text.to_owned(),
            Language::French => {
                [" :", " ;", " !", " ?", " »", "« "].iter().fold(text.to_owned(), |text, pair| {
                    text.replace(pair, &pair.replace(' ', &NO_BREAK.to_string()))
                })
            }
        }
    }

    /// The date of a moment in a time zone: `December 24, 2026`, `24. Dezember 2026`.
    pub fn day(&self, at: DateTime<Utc>, zone: Tz) -> String {
        self.date(at.with_timezone(&zone).date_naive())
    }

    pub fn date(&self, day: NaiveDate) -> String {
        // The day and the month stay on one line.
        written(&self.days, day).replacen(' ', &NO_BREAK.to_string(), 1)
    }

    /// A number of things: `1,250`, `1.250`.
    pub fn count(&self, number: i64) -> String {
        self.numbers.format(&Decimal::from(number)).to_string()
    }

    /// A month and its year: `December 2026`, `Dezember 2026`.
    pub fn month(&self, day: NaiveDate) -> String {
        let months =
            FixedCalendarDateTimeFormatter::try_new(self.locale.clone().into(), YM::long());
        let months = months.expect(HAS_FALLBACK);
        gregorian(day).map_or_else(|| day.to_string(), |date| months.format(&date).to_string())
    }

    /// A day of a year that is known: `Dec 24`, `24. Dez.`.
    pub fn day_of_year(&self, day: NaiveDate) -> String {
        let days =
            FixedCalendarDateTimeFormatter::try_new(self.locale.clone().into(), MD::medium());
        let days = days.expect(HAS_FALLBACK);
        let written = gregorian(day).map(|date| days.format(&date).to_string());
        written.unwrap_or_else(|| day.to_string()).replace(' ', &NO_BREAK.to_string())
    }

    /// A moment on the clocks of a time zone: `Dec 24, 2026, 2:59 PM EST`,
    /// `24.12.2026, 14:59 MEZ`.
    pub fn moment(&self, at: DateTime<Utc>, zone: Tz) -> String {
        let local = at.with_timezone(&zone);
        let moments = FixedCalendarDateTimeFormatter::try_new(
            self.locale.clone().into(),
            YMD::medium().with_time_hm(),
        );
        let moments = moments.expect(HAS_FALLBACK);
        let part = |number: u32| u8::try_from(number).unwrap_or_default();
        let time = Time::try_new(part(local.hour()), part(local.minute()), 0, 0);
        let written = gregorian(local.date_naive())
            .zip(time.ok())
            .map(|(date, time)| moments.format(&LocalDateTime { date, time }).to_string());
        let written = written.unwrap_or_else(|| local.format("%F %H:%M").to_string());
        let abbreviation = local.format("%Z").to_string();
        let zone = match (self.language, abbreviation.as_str()) {
            (Language::German, "CET") => "MEZ",
            (Language::German, "CEST") => "MESZ",
            (Language::English | Language::German | Language::French, other) => other,
        };
        format!("{written}{NO_BREAK}{zone}")
    }

    /// A date for tables: `Dec 24, 2026`, `24.12.2026`.
    pub fn short_date(&self, day: NaiveDate) -> String {
        written(&self.short_days, day)
    }
}

fn written(days: &FixedCalendarDateTimeFormatter<Gregorian, YMD>, day: NaiveDate) -> String {
    gregorian(day).map_or_else(|| day.to_string(), |date| days.format(&date).to_string())
}

/// `None` beyond the years that ICU4X knows.
fn gregorian(day: NaiveDate) -> Option<Date<Gregorian>> {
    let part = |number: u32| u8::try_from(number).unwrap_or_default();
    Date::try_new_gregorian(day.year(), part(day.month()), part(day.day())).ok()
}

/// An amount for operators, in English. `None` if it or its currency is unknown.
pub fn operator_amount(minor: Option<i64>, currency: Option<&str>) -> Option<String> {
    let money = Money { minor: minor?, currency: currency?.to_owned() };
    Some(Formats::new(Language::English, None).money(&money))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(tag: &str) -> Formats {
        let (language, country) = tag.split_once('-').unwrap();
        Formats::new(language.parse().unwrap(), Some(country))
    }

    fn money(minor: i64, currency: &str) -> Money {
        Money { minor, currency: currency.to_owned() }
    }

    #[test]
    fn amounts_follow_the_readers_locale() {
        for (tag, minor, currency, written) in [
            ("en-US", 100_000, "usd", "$1,000.00"),
            ("en-US", 5, "usd", "$0.05"),
            ("en-US", 0, "usd", "$0.00"),
            ("en-GB", -123_456_789, "gbp", "-£1,234,567.89"),
            ("en-GB", 99_999, "eur", "€999.99"),
            ("en-AU", 100_000, "aud", "A$1,000.00"),
            ("en-CA", 100_000, "cad", "CA$1,000.00"),
            ("en-US", 1_000, "jpy", "¥1,000"),
            ("en-US", 1_234_500, "ugx", "12,345.00\u{a0}UGX"),
            ("en-US", 1_234_500, "kwd", "1,234.500\u{a0}KWD"),
            ("en-US", i64::MAX, "usd", "$92,233,720,368,547,758.07"),
            ("en-US", i64::MIN, "usd", "-$92,233,720,368,547,758.08"),
            ("en-DE", 123_456_789, "eur", "€1,234,567.89"),
            ("de-DE", 123_456_789, "eur", "1.234.567,89\u{a0}€"),
            ("fr-FR", 123_456_789, "eur", "1\u{202f}234\u{202f}567,89\u{a0}€"),
            ("fr-CA", 100_000, "cad", "1\u{a0}000,00\u{a0}CA$"),
            ("de-DE", 100_000, "chf", "1.000,00\u{a0}CHF"),
        ] {
            assert_eq!(formats(tag).money(&money(minor, currency)), written);
        }
        assert_eq!(formats("en-US").money_short(&money(100_000, "usd")), "$1,000");
        assert_eq!(formats("de-DE").money_short(&money(100_050, "eur")), "1.000,50\u{a0}€");
        assert_eq!(formats("en-US").money_short(&money(1_000, "jpy")), "¥1,000");
    }

    #[test]
    fn percentages_have_no_trailing_zeros() {
        let written: Vec<String> = [0.15, 0.125, 0.2, 0.07, 0.333_333, 1.0, 0.0]
            .map(|rate| formats("en-US").percent(rate))
            .into();
        assert_eq!(written, ["15%", "12.5%", "20%", "7%", "33.33%", "100%", "0%"]);
        assert_eq!(formats("de-DE").percent(0.125), "12,5\u{a0}%");
        assert_eq!(formats("en-US").percent(f64::NAN), "NaN%");
    }

    #[test]
    fn table_dates_are_short() {
        let day = "2026-12-24".parse().unwrap();
        let short = ["en-US", "en-GB", "de-DE", "fr-FR"].map(|tag| formats(tag).short_date(day));
        assert_eq!(short, ["Dec 24, 2026", "24 Dec 2026", "24.12.2026", "24 déc. 2026"]);
    }

    #[test]
    fn moments_follow_the_clocks_and_the_style_of_the_reader() {
        let at: DateTime<Utc> = "2026-11-28T19:59:00Z".parse().unwrap();
        for (tag, zone, written) in [
            ("en-US", "America/New_York", "Nov 28, 2026, 2:59\u{202f}PM\u{a0}EST"),
            ("en-GB", "Europe/London", "28 Nov 2026, 19:59\u{a0}GMT"),
            ("de-DE", "Europe/Berlin", "28.11.2026, 20:59\u{a0}MEZ"),
            ("fr-FR", "Europe/Paris", "28 nov. 2026, 20:59\u{a0}CET"),
        ] {
            assert_eq!(formats(tag).moment(at, zone.parse().unwrap()), written);
        }
    }

    #[test]
    fn months_have_their_year_and_days_can_do_without() {
        let day = "2026-12-24".parse().unwrap();
        let written = |tag| [formats(tag).month(day), formats(tag).day_of_year(day)];
        assert_eq!(written("en-US"), ["December 2026", "Dec\u{a0}24"]);
        assert_eq!(written("de-DE"), ["Dezember 2026", "24.\u{a0}Dez."]);
        assert_eq!(written("fr-FR"), ["décembre 2026", "24\u{a0}déc."]);
        assert_eq!(formats("de-DE").count(1_250), "1.250");
    }

    #[test]
    fn a_date_is_that_of_the_given_time_zone() {
        let at: DateTime<Utc> = "2026-12-25T03:00:00Z".parse().unwrap();
        assert_eq!(
            formats("en-US").day(at, time_zone(Some("America/Los_Angeles"), Some("US"))),
            "December\u{a0}24, 2026"
        );
        assert_eq!(formats("en-GB").day(at, time_zone(None, Some("GB"))), "25\u{a0}December 2026");
        assert_eq!(
            formats("de-DE").day(at, time_zone(Some("nonsense"), Some("DE"))),
            "25.\u{a0}Dezember 2026"
        );
        assert_eq!(formats("fr-FR").day(at, time_zone(None, None)), "25\u{a0}décembre 2026");
    }

    #[test]
    fn french_punctuation_gets_no_break_spaces() {
        assert_eq!(
            formats("fr-FR").typeset("la suite : « oui »"),
            "la suite\u{a0}: «\u{a0}oui\u{a0}»"
        );
        assert_eq!(formats("en-US").typeset("next : « yes »"), "next : « yes »");
    }

    #[test]
    fn the_accounts_language_precedes_its_countrys_and_english() {
        use Language::{English, French, German};
        for (tag, country, preferred) in [
            (Some("fr-CA"), Some("CA"), vec![French, English]),
            (Some("de_AT"), Some("FR"), vec![German, French, English]),
            (None, Some("DE"), vec![German, English]),
            (Some("nl"), Some("FR"), vec![French, English]),
            (Some("EN"), Some("DE"), vec![English, German]),
            (None, None, vec![English]),
            (Some(""), Some("JP"), vec![English]),
        ] {
            assert_eq!(Language::preferred(tag, country), preferred, "{tag:?} {country:?}");
        }
    }
}
