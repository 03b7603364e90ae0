//! The CSV of opt-outs. An import is valid in every line, or is refused as a whole.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::consent::opt_outs::Note;
use crate::consent::opt_outs::store::OptOut;
use crate::format::csv::{Cell, unescape_formula};
use crate::stripe::AccountId;

pub(super) const COLUMNS: [&str; 6] =
    ["account", "source", "note", "opted_out_at", "ended_at", "ended_by"];
/// More errors do not help: such a list has another format.
const MAX_SHOWN_ERRORS: usize = 20;

pub(super) fn cells(opt_out: &OptOut) -> [Cell; 6] {
    [
        opt_out.account_id.as_str().into(),
        opt_out.source.as_str().into(),
        opt_out.note.as_deref().into(),
        opt_out.opted_out_at.into(),
        opt_out.ended_at.into(),
        opt_out.ended_by.as_deref().into(),
    ]
}

/// A line of an import.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Imported {
    pub(super) account: AccountId,
    pub(super) note: Option<Note>,
    pub(super) opted_out_at: Option<DateTime<Utc>>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was imported:\n{}", listed(.0))]
pub(super) struct ListErrors(Vec<String>);

fn listed(errors: &[String]) -> String {
    let shown = errors.iter().take(MAX_SHOWN_ERRORS);
    let mut shown: Vec<String> = shown.map(|error| format!("  {error}")).collect();
    if errors.len() > MAX_SHOWN_ERRORS {
        shown.push(format!("  and {} more", errors.len() - MAX_SHOWN_ERRORS));
    }
    shown.join("\n")
}

/// The positions of the columns.
struct Header {
    account: usize,
    note: Option<usize>,
    opted_out_at: Option<usize>,
}

/// Reports all errors, each with its line and column.
pub(super) fn read(bytes: &[u8], now: DateTime<Utc>) -> Result<Vec<Imported>, ListErrors> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let header =
        Header::read(reader.headers().map_err(|error| ListErrors(vec![error.to_string()]))?)?;
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for record in reader.records() {
        match record {
            Ok(record) => match header.row(&record, now) {
                Ok(row) => rows.push(row),
                Err((column, problem)) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    errors.push(format!("line {line}, column {column}: {problem}"));
                }
            },
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() { Ok(rows) } else { Err(ListErrors(errors)) }
}

impl Header {
    fn read(names: &csv::StringRecord) -> Result<Self, ListErrors> {
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let unknown = names.iter().find(|name| !["account", "note", "opted_out_at"].contains(name));
        let duplicate = names.iter().enumerate().find(|(at, name)| place(name) != Some(*at));
        let error =
            |column, problem| Err(ListErrors(vec![format!("line 1, column {column}: {problem}")]));
        match (place("account"), unknown, duplicate) {
            (Some(account), None, None) => {
                Ok(Self { account, note: place("note"), opted_out_at: place("opted_out_at") })
            }
            (_, Some(name), _) => {
                error(name, "unknown; the columns are account, note, opted_out_at")
            }
            (_, None, Some((_, name))) => error(name, "duplicate"),
            (None, None, None) => error("account", "missing"),
        }
    }

    /// An error names its column.
    fn row(
        &self,
        record: &csv::StringRecord,
        now: DateTime<Utc>,
    ) -> Result<Imported, (&'static str, String)> {
        let cell =
            |at: Option<usize>| at.and_then(|at| record.get(at)).filter(|text| !text.is_empty());
        let account = cell(Some(self.account)).unwrap_or_default();
        let account = account.parse().map_err(|error| ("account", format!("{error}")))?;
        let note = cell(self.note).map(|text| unescape_formula(text).parse()).transpose();
        let note = note.map_err(|error| ("note", format!("{error}")))?;
        let opted_out_at = cell(self.opted_out_at).map(|text| time(text, now)).transpose();
        let opted_out_at = opted_out_at.map_err(|problem| ("opted_out_at", problem))?;
        Ok(Imported { account, note, opted_out_at })
    }
}

/// A day or a time, not in the future.
fn time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let day = || text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    match text.parse::<DateTime<Utc>>().or_else(|_| day()) {
        Ok(at) if at <= now => Ok(at),
        Ok(_) => Err(format!("{text:?} is in the future")),
        Err(_) => {
            Err(format!("{text:?} is not a time; examples: 2026-11-24, 2026-11-24T12:00:00Z"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::csv::{CsvWriter, FORMULA};
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn opt_out(note: &str) -> OptOut {
        OptOut {
            opt_out_id: 1,
            account_id: "acct_1".to_owned(),
            source: "operator".to_owned(),
            scope: "capital_marketing".to_owned(),
            note: Some(note.to_owned()),
            opted_out_at: now(),
            ended_at: None,
            ended_by: None,
        }
    }

    fn written(note: &str) -> String {
        let mut writer = CsvWriter::new(Vec::new(), COLUMNS).unwrap();
        writer.write(cells(&opt_out(note))).unwrap();
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn formulas_are_escaped() {
        assert_eq!(
            written("=HYPERLINK(\"http://x\",\"y\")"),
            "account,source,note,opted_out_at,ended_at,ended_by\r\n\
             acct_1,operator,\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",2026-11-24T12:00:00Z,,\r\n"
        );
        for note in ["+1", "-1", "@x", "\t=1", "plain, with comma"] {
            let line = written(note).lines().nth(1).unwrap().to_owned();
            let cell = line.strip_prefix("acct_1,operator,").unwrap().trim_start_matches('"');
            assert!(!cell.starts_with(FORMULA), "{line}");
        }
    }

    #[test]
    fn columns_may_have_any_order() {
        let list = "\u{feff}opted_out_at,account,note\r\n2026-11-01,acct_1,\"by phone, twice\"\r\n\
                    2026-11-24T11:00:00+01:00, acct_2 ,\r\n,acct_3,'=1\r\n";
        let rows = read(list.as_bytes(), now()).unwrap();
        let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(rows[0].opted_out_at, at("2026-11-01T00:00:00Z"));
        assert_eq!(rows[0].note.as_ref().unwrap().as_str(), "by phone, twice");
        assert_eq!((rows[1].opted_out_at, &rows[1].note), (at("2026-11-24T10:00:00Z"), &None));
        assert_eq!(rows[2].note.as_ref().unwrap().as_str(), "=1");
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn all_errors_are_reported_with_line_and_column() {
        let list = "account,note,opted_out_at\nacct_1,,\nfinancingoffer_1,,\n\
                    acct_2,\"two\nlines\",\nacct_3,,soon\n\
                    acct_4,,2027-01-01\n";
        let message = read(list.as_bytes(), now()).unwrap_err().to_string();
        for place in [
            "line 3, column account",
            "line 4, column note",
            "line 6, column opted_out_at",
            "line 7, column opted_out_at: \"2027-01-01\" is in the future",
        ] {
            assert!(message.contains(place), "{place}: {message}");
        }
        for (list, expected) in [
            ("", "line 1, column account: missing"),
            ("note\nx\n", "line 1, column account: missing"),
            ("account,source\nacct_1,x\n", "line 1, column source: unknown"),
            ("account,account\nacct_1,acct_2\n", "line 1, column account: duplicate"),
        ] {
            let message = read(list.as_bytes(), now()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(read(b"account\n\xff\n", now()).is_err());
        let many = format!("account\n{}", "x\n".repeat(30));
        assert!(read(many.as_bytes(), now()).unwrap_err().to_string().ends_with("and 10 more"));
    }

    proptest! {
        #[test]
        fn a_written_note_is_read_back(note in "[ -~é]{1,40}") {
            let Ok(note) = note.parse::<Note>() else { return Ok(()) };
            let cell = written(note.as_str());
            let mut reader = csv::Reader::from_reader(cell.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(unescape_formula(&record[2]), note.as_str());
        }
    }
}
