//! What commands print, and the one place where they do. Lines for people go through [`printable`],
//! since much of what they show was written by others; data (JSON, CSV, an event's body) are
//! written as they are.
//!
//! A reader who has seen enough (`| head`) ends a command early, and without an error: [`Closed`].

use std::error::Error;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::format::text::{is_unprintable, printable};

/// The reader of stdout closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader of the output closed it")]
pub(super) struct Closed;

/// Prints a line for a person to stdout.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::out::line(format_args!($($words)*)) };
}

/// Prints a line for a person to stderr.
macro_rules! note {
    ($($words:tt)*) => { $crate::cli::out::note_line(format_args!($($words)*)) };
}

pub(super) use {note, say};

/// As [`say!`] prints it.
pub(super) fn line(words: Arguments<'_>) -> io::Result<()> {
    writeln!(stdout(), "{}", printable(&words.to_string()))
}

/// As [`note!`] prints it. Where stderr is closed nobody can be told.
pub(super) fn note_line(words: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", printable(&words.to_string()));
}

/// Prints why a command failed to stderr, with the lines that lists of faults have.
pub(super) fn failure(error: &anyhow::Error) {
    for words in format!("error: {error:#}").lines() {
        note_line(format_args!("{words}"));
    }
}

/// Prints data as JSON. Inside of strings, where alone it can stand, what a terminal would obey is
/// written as JSON can write it.
pub(super) fn json(what: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = stdout();
    let text = serde_json::to_string_pretty(what)?;
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c != '\n' && is_unprintable(c)) {
        let (before, after) = rest.split_at(at);
        write!(out, "{before}")?;
        let mut characters = after.chars();
        for unit in characters.next().into_iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec())
        {
            write!(out, "\\u{unit:04x}")?;
        }
        rest = characters.as_str();
    }
    Ok(writeln!(out, "{rest}")?)
}

/// Prints bytes as they are; to a terminal, without what it would obey.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = stdout();
    if !out.0.is_terminal() {
        return out.write_all(bytes);
    }
    for words in String::from_utf8_lossy(bytes).lines() {
        writeln!(out, "{}", printable(words))?;
    }
    Ok(())
}

/// Whether a command ended because the reader of its output closed it.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        // A `csv::Error` does not name its source.
        let of_csv = cause.downcast_ref::<csv::Error>().and_then(|error| {
            if let csv::ErrorKind::Io(error) = error.kind() { Some(error) } else { None }
        });
        let error = of_csv.or_else(|| cause.downcast_ref::<io::Error>());
        error.and_then(io::Error::get_ref).is_some_and(<dyn Error + Send + Sync>::is::<Closed>)
    })
}

/// For a command whose exit status says what it found: that stands, whether or not the rest was
/// read.
pub(super) fn as_far_as_read(printed: anyhow::Result<()>) -> anyhow::Result<()> {
    printed.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error) })
}

/// Stdout, for data.
pub(super) struct Stdout(io::StdoutLock<'static>);

/// Stdout, for data.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(super) fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(closed)
    }
}

/// Tells our own pipe from others that break, such as a database's connection.
fn closed(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::BrokenPipe {
        io::Error::new(ErrorKind::BrokenPipe, Closed)
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn our_own_pipe_is_told_from_others() {
        let ours = closed(io::Error::from(ErrorKind::BrokenPipe));
        assert!(is_closed(
            &anyhow::Error::from(csv::Error::from(ours)).context("while it printed")
        ));
        let theirs: anyhow::Result<()> =
            Err(io::Error::from(ErrorKind::BrokenPipe)).context("the database");
        assert!(!is_closed(&theirs.unwrap_err()));
        assert_eq!(closed(io::Error::from(ErrorKind::StorageFull)).kind(), ErrorKind::StorageFull);
    }
}
