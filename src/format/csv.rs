//! CSV files for spreadsheets.
//!
//! RFC 4180 with CRLF, in UTF-8. There is no byte order mark, because many programs read it as part
//! of the first column's name. Text that a spreadsheet would evaluate as a formula is escaped.

use std::borrow::Cow;
use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::Value;

use super::money::Money;

/// First characters of a formula (OWASP, *CSV Injection*), with the full-width forms that some
/// programs treat alike.
pub const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Writes a table of `N` columns.
#[derive(Debug)]
pub struct CsvWriter<W: Write, const N: usize>(csv::Writer<W>);

/// A cell. In a CSV file formulas in its text are escaped; numbers and dates need no escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Empty,
    /// Text from anywhere.
    Text(String),
    /// What we formatted: a date or a decimal number, whose sign does not start a formula.
    Formatted(String),
    Number(i64),
    Bool(bool),
}

impl<W: Write, const N: usize> CsvWriter<W, N> {
    /// Writes the header.
    pub fn new(out: W, columns: [&str; N]) -> io::Result<Self> {
        let terminator = csv::Terminator::CRLF;
        let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(out);
        writer.write_record(columns).map_err(io_error)?;
        Ok(Self(writer))
    }

    pub fn write(&mut self, row: [Cell; N]) -> io::Result<()> {
        self.0.write_record(row.map(Cell::csv)).map_err(io_error)
    }

    /// Flushes, and returns the destination.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// The conversion of the `csv` crate wraps the error, and a closed pipe could not be recognized.
fn io_error(error: csv::Error) -> io::Error {
    let text = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() { error } else { io::Error::other(text) }
}

impl Cell {
    /// A decimal number.
    pub fn amount(minor: i64, currency: &str) -> Self {
        Self::Formatted(Money { minor, currency: currency.to_owned() }.plain())
    }

    /// A currency code in upper case.
    pub fn currency(code: &str) -> Self {
        code.to_uppercase().into()
    }

    fn csv(self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => escape_formula(&text).into_owned(),
            Self::Formatted(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Bool(is) => is.to_string(),
        }
    }

    /// Unescaped. Amounts are strings, because a JSON number may lose digits.
    pub fn json(self) -> Value {
        match self {
            Self::Empty => Value::Null,
            Self::Text(text) | Self::Formatted(text) => text.into(),
            Self::Number(number) => number.into(),
            Self::Bool(is) => is.into(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<DateTime<Utc>> for Cell {
    fn from(at: DateTime<Utc>) -> Self {
        Self::Formatted(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl From<NaiveDate> for Cell {
    fn from(day: NaiveDate) -> Self {
        Self::Formatted(day.to_string())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Cell {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

fn escape_formula(text: &str) -> Cow<'_, str> {
    if needs_escape(text) { format!("'{text}").into() } else { text.into() }
}

/// Reverses the escape of text in a [`Cell`].
pub fn unescape_formula(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| needs_escape(rest)).unwrap_or(text)
}

/// Text that looks escaped is escaped again, so that [`unescape_formula`] restores it.
fn needs_escape(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_escaped_and_restored() {
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
            assert_eq!(escape_formula(text), cell);
            assert_eq!(unescape_formula(cell), text);
        }
    }

    #[test]
    fn lines_end_in_crlf_and_numbers_keep_their_sign() {
        let mut out = CsvWriter::new(Vec::new(), ["a", "b", "c"]).unwrap();
        out.write([Cell::amount(-150, "usd"), "x,\"y\"".into(), None::<&str>.into()]).unwrap();
        let written = String::from_utf8(out.finish().unwrap()).unwrap();
        assert_eq!(written, "a,b,c\r\n-1.50,\"x,\"\"y\"\"\",\r\n");
    }
}
