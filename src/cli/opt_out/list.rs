//! Opt-outs as CSV: what is written can be opened in a spreadsheet without harm, and what is read is right in every line or not read
//! at all.

use std::io::Write;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::consent::opt_outs::Note;
use crate::consent::opt_outs::store::OptOut;
use crate::format::csv::{as_it_was, harmless, maybe, moment};
use crate::stripe::AccountId;

/// The columns that are written, in their order.
const COLUMNS: [&str; 6] = ["account", "source", "note", "opted_out_at", "ended_at", "ended_by"];
/// A list with more mistakes than this is another list.
const MAX_MISTAKES: usize = 20;

/// Writes opt-outs, a line each.
pub(super) struct Writer<W: Write>(csv::Writer<W>);

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub(super) fn new(out: W) -> csv::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        Ok(Self(writer))
    }

    pub(super) fn write(&mut self, opt_out: &OptOut) -> csv::Result<()> {
        self.0.write_record([
            opt_out.account_id.as_str(),
            &opt_out.source,
            &harmless(opt_out.note.as_deref().unwrap_or_default()),
            &moment(opt_out.opted_out_at),
            &maybe(opt_out.ended_at),
            opt_out.ended_by.as_deref().unwrap_or_default(),
        ])
    }

    pub(super) fn finish(mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A line that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) account: AccountId,
    pub(super) note: Option<Note>,
    pub(super) opted_out_at: Option<DateTime<Utc>>,
}

/// All that is wrong with a list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was taken in:\n{}", lines(.0))]
pub(super) struct Mistakes(Vec<String>);

fn lines(mistakes: &[String]) -> String {
    let mut shown: Vec<String> =
        mistakes.iter().take(MAX_MISTAKES).map(|mistake| format!("  {mistake}")).collect();
    if mistakes.len() > MAX_MISTAKES {
        shown.push(format!("  and {} more", mistakes.len() - MAX_MISTAKES));
    }
    shown.join("\n")
}

/// Where each column is.
struct Header {
    account: usize,
    note: Option<usize>,
    opted_out_at: Option<usize>,
}

/// Reads a list. All mistakes are told at once, with line and column.
pub(super) fn read(bytes: &[u8], now: DateTime<Utc>) -> Result<Vec<Row>, Mistakes> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let header =
        Header::read(reader.headers().map_err(|error| Mistakes(vec![error.to_string()]))?)?;
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    for record in reader.records() {
        match record {
            Ok(record) => match header.row(&record, now) {
                Ok(row) => rows.push(row),
                Err((column, problem)) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    mistakes.push(format!("line {line}, column {column}: {problem}"));
                }
            },
            Err(error) => mistakes.push(error.to_string()),
        }
    }
    if mistakes.is_empty() { Ok(rows) } else { Err(Mistakes(mistakes)) }
}

impl Header {
    fn read(names: &csv::StringRecord) -> Result<Self, Mistakes> {
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let strange = names.iter().find(|name| !["account", "note", "opted_out_at"].contains(name));
        let doubled = names.iter().enumerate().find(|(at, name)| place(name) != Some(*at));
        match (place("account"), strange, doubled) {
            (Some(account), None, None) => {
                Ok(Self { account, note: place("note"), opted_out_at: place("opted_out_at") })
            }
            (_, Some(name), _) => Err(Mistakes(vec![format!(
                "line 1, column {name}: there is no such column; write account, note, opted_out_at"
            )])),
            (_, None, Some((_, name))) => {
                Err(Mistakes(vec![format!("line 1, column {name}: it is there twice")]))
            }
            (None, None, None) => {
                Err(Mistakes(vec!["line 1, column account: it is missing".to_owned()]))
            }
        }
    }

    /// Reads a line, or says in which column it is wrong.
    fn row(
        &self,
        record: &csv::StringRecord,
        now: DateTime<Utc>,
    ) -> Result<Row, (&'static str, String)> {
        let cell =
            |at: Option<usize>| at.and_then(|at| record.get(at)).filter(|text| !text.is_empty());
        let account = cell(Some(self.account)).unwrap_or_default();
        let account = account.parse().map_err(|error| ("account", format!("{error}")))?;
        let note = cell(self.note).map(|text| as_it_was(text).parse()).transpose();
        let note = note.map_err(|error| ("note", format!("{error}")))?;
        let opted_out_at = cell(self.opted_out_at).map(|text| time(text, now)).transpose();
        let opted_out_at = opted_out_at.map_err(|problem| ("opted_out_at", problem))?;
        Ok(Row { account, note, opted_out_at })
    }
}

/// A time that is past, as a day or to the second.
fn time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let day = || text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    match text.parse::<DateTime<Utc>>().or_else(|_| day()) {
        Ok(at) if at <= now => Ok(at),
        Ok(_) => Err(format!("{text:?} is still to come")),
        Err(_) => Err(format!("{text:?} is not a time like 2026-11-24 or 2026-11-24T12:00:00Z")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::csv::FORMULA;
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
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out).unwrap();
        writer.write(&opt_out(note)).unwrap();
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_cell_begins_like_a_formula() {
        assert_eq!(
            written("=HYPERLINK(\"http://x\",\"y\")"),
            "account,source,note,opted_out_at,ended_at,ended_by\n\
             acct_1,operator,\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",2026-11-24T12:00:00Z,,\n"
        );
        for note in ["+1", "-1", "@x", "\t=1", "plain, with comma"] {
            let line = written(note).lines().nth(1).unwrap().to_owned();
            let cell = line.strip_prefix("acct_1,operator,").unwrap().trim_start_matches('"');
            assert!(!cell.starts_with(FORMULA), "{line}");
        }
    }

    #[test]
    fn a_list_is_read_with_any_order_of_columns_and_as_spreadsheets_write_it() {
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
    fn every_mistake_is_told_with_line_and_column() {
        let list = "account,note,opted_out_at\nacct_1,,\nfinancingoffer_1,,\nacct_2,\"two\nlines\",\nacct_3,,soon\n\
                    acct_4,,2027-01-01\n";
        let told = read(list.as_bytes(), now()).unwrap_err().to_string();
        for place in [
            "line 3, column account",
            "line 4, column note",
            "line 6, column opted_out_at",
            "line 7, column opted_out_at: \"2027-01-01\" is still to come",
        ] {
            assert!(told.contains(place), "{place}: {told}");
        }
        for (list, told) in [
            ("", "line 1, column account: it is missing"),
            ("note\nx\n", "line 1, column account: it is missing"),
            ("account,source\nacct_1,x\n", "line 1, column source: there is no such column"),
            ("account,account\nacct_1,acct_2\n", "line 1, column account: it is there twice"),
        ] {
            let mistakes = read(list.as_bytes(), now()).unwrap_err().to_string();
            assert!(mistakes.contains(told), "{mistakes}");
        }
        assert!(read(b"account\n\xff\n", now()).is_err());
        let many = format!("account\n{}", "x\n".repeat(30));
        assert!(read(many.as_bytes(), now()).unwrap_err().to_string().ends_with("and 10 more"));
    }

    proptest! {
        #[test]
        fn a_note_that_was_written_is_read_as_it_was(note in "[ -~é]{1,40}") {
            let Ok(note) = note.parse::<Note>() else { return Ok(()) };
            // One that begins with an apostrophe before a formula's sign is the one thing that cannot be told apart.
            prop_assume!(as_it_was(note.as_str()) == note.as_str());
            let cell = written(note.as_str());
            let mut reader = csv::Reader::from_reader(cell.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(as_it_was(&record[2]), note.as_str());
        }
    }
}
