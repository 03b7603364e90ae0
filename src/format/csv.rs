//! CSV that a spreadsheet opens without harm: text that begins like a formula would be taken for one.
//!
//! RFC 4180, in UTF-8 without a byte order mark: what stands in the cells is ASCII but for the words that people enter, so a mark would
//! help hardly anybody and would stick to the name of the first column in every program that does not know it.

use std::borrow::Cow;
use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use super::money::Money;

/// What makes a spreadsheet take a cell for a formula (OWASP, *CSV Injection*), in the widths that some take for the same.
pub const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Writes lines that end as RFC 4180 wants them.
pub fn writer<W: Write>(out: W) -> csv::Writer<W> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out)
}

/// Text that no spreadsheet takes for a formula. Not for numbers that we write: a sign is no formula's.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if is_formula(text) { format!("'{text}").into() } else { text.into() }
}

/// An amount as a decimal number, whose sign is no formula's.
pub fn amount(minor: i64, currency: &str) -> String {
    Money { minor, currency: currency.to_owned() }.plain()
}

/// A currency, whatever Stripe may send one day.
pub fn code(currency: &str) -> String {
    harmless(&currency.to_uppercase()).into_owned()
}

/// The same text without what made it harmless.
pub fn as_it_was(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(text)
}

/// Also what looks as if it was made harmless before, so that it is read back as it was.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

/// A moment, by RFC 3339.
pub fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A moment that may not have come.
pub fn maybe(at: Option<DateTime<Utc>>) -> String {
    at.map(moment).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_each_is_read_back_as_it_was() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum", "'@sum"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("\nx", "'\nx"),
            ("＝1+1", "'＝1+1"),
            ("usd", "usd"),
            ("", ""),
            ("'quoted", "'quoted"),
            ("'=1", "''=1"),
        ] {
            assert_eq!(harmless(text), cell);
            assert_eq!(as_it_was(cell), text);
        }
    }
}
