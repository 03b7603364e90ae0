//! Records that are streamed to stdout: CSV for spreadsheets, or a JSON array.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::cli::out::{self, Stdout};
use crate::cli::progress::Progress;
use crate::format::csv::{Cell, CsvWriter};

/// Rows with `N` columns. While a file or a pipe takes them, a terminal shows their number.
pub(super) struct Records<const N: usize> {
    format: Format<N>,
    progress: Option<Progress>,
}

enum Format<const N: usize> {
    Csv(Box<CsvWriter<Stdout, N>>),
    Json { out: Stdout, columns: [&'static str; N], has_row: bool },
}

impl<const N: usize> Records<N> {
    pub(super) fn new(as_json: bool, columns: [&'static str; N]) -> io::Result<Self> {
        // On the same terminal the rows themselves show the progress.
        let progress = out::terminal_width().is_none().then(|| Progress::counter("rows"));
        let mut out = out::stdout();
        let format = if as_json {
            write!(out, "[")?;
            Format::Json { out, columns, has_row: false }
        } else {
            Format::Csv(Box::new(CsvWriter::new(out, columns)?))
        };
        Ok(Self { format, progress })
    }

    pub(super) fn write(&mut self, row: [Cell; N]) -> io::Result<()> {
        if let Some(progress) = &self.progress {
            progress.advance(1);
        }
        match &mut self.format {
            Format::Csv(writer) => writer.write(row),
            Format::Json { out, columns, has_row } => {
                let comma = if std::mem::replace(has_row, true) { "," } else { "" };
                write!(out, "{comma}\n  ")?;
                let cells = columns.iter().zip(row);
                let object: Map<String, Value> =
                    cells.map(|(column, cell)| ((*column).to_owned(), cell.json())).collect();
                out::write_json(out, &Value::Object(object).to_string())
            }
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self.format {
            Format::Csv(writer) => writer.finish().map(drop),
            Format::Json { mut out, has_row, .. } => {
                writeln!(out, "{}]", if has_row { "\n" } else { "" })
            }
        }
    }
}
