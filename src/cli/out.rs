//! Output of commands; no other module writes to stdout.
//!
//! Lines for people are escaped with [`printable`], because much of their content comes from
//! outside. Data (JSON, CSV, the body of an event) is written unchanged. A command whose stdout is
//! closed by the reader (`| head`) ends without an error: [`Closed`].

#[cfg(feature = "demo")]
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::format::text::{is_unprintable, printable};
use crate::telemetry::chain;

/// Formats of times in UTC.
pub(super) const DAY: &str = "%Y-%m-%d";
pub(super) const MINUTE: &str = "%Y-%m-%d %H:%M";
pub(super) const SECOND: &str = "%Y-%m-%d %H:%M:%S";

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader of the output closed it")]
pub(super) struct Closed;

/// Prints a line to stdout.
macro_rules! say {
    ($($args:tt)*) => { $crate::cli::out::line(format_args!($($args)*)) };
}

/// Prints a line to stderr.
macro_rules! note {
    ($($args:tt)*) => { $crate::cli::out::note_line(format_args!($($args)*)) };
}

pub(super) use {note, say};

pub(super) fn line(text: Arguments<'_>) -> io::Result<()> {
    writeln!(stdout(), "{}", printable(&text.to_string()))
}

pub(super) fn note_line(text: Arguments<'_>) {
    // If stderr is closed, there is nowhere to report it.
    let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
}

/// Whether the person at the terminal can see a browser that is opened here.
#[cfg(feature = "demo")]
pub(super) fn is_on_a_desktop(env: &HashMap<String, String>) -> bool {
    let has = |name| env.contains_key(name);
    let has_display = cfg!(target_os = "macos") || has("DISPLAY") || has("WAYLAND_DISPLAY");
    stdout().0.is_terminal() && has_display && !has("SSH_CONNECTION")
}

/// Prints the error of a command to stderr. A list of settings errors has several lines.
pub(super) fn print_error(error: &anyhow::Error) {
    for text in format!("error: {}", chain(error.as_ref())).lines() {
        note_line(format_args!("{text}"));
    }
}

/// Prints the outcome of an act, as JSON or as a line.
pub(super) fn outcome(
    as_json: bool,
    value: &impl serde::Serialize,
    line: Arguments<'_>,
) -> anyhow::Result<()> {
    if as_json { json(value) } else { Ok(self::line(line)?) }
}

/// The columns of the terminal; `None` if stdout is none.
pub(super) fn terminal_width() -> Option<usize> {
    if !stdout().0.is_terminal() {
        return None;
    }
    // 80 where the terminal does not tell.
    Some(terminal_size::terminal_size().map_or(80, |(width, _)| width.0.into()))
}

/// Prints JSON. Control characters, which occur only within strings, are printed as JSON escapes.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = stdout();
    write_json(&mut out, &serde_json::to_string_pretty(value)?)?;
    Ok(writeln!(out)?)
}

/// As [`json`], for JSON that is a text already, to any writer and without a line break at the end.
pub(super) fn write_json(out: &mut impl Write, text: &str) -> io::Result<()> {
    let mut rest = text;
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
    write!(out, "{rest}")
}

/// Prints bytes unchanged, or escaped on a terminal.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = stdout();
    if !out.0.is_terminal() {
        return out.write_all(bytes);
    }
    for text in String::from_utf8_lossy(bytes).lines() {
        writeln!(out, "{}", printable(text))?;
    }
    Ok(())
}

/// Whether a command failed because the reader closed stdout.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let error = cause.downcast_ref::<io::Error>();
        error.and_then(io::Error::get_ref).is_some_and(<dyn Error + Send + Sync>::is::<Closed>)
    })
}

/// For a command whose exit status is its result, whether or not the output was read to the end.
pub(super) fn ignore_closed(printed: anyhow::Result<()>) -> anyhow::Result<()> {
    printed.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error) })
}

pub(super) struct Stdout(io::StdoutLock<'static>);

/// Stdout, whose errors [`is_closed`] recognizes.
#[expect(clippy::disallowed_methods, reason = "the one place that the ban allows")]
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

/// Marks errors of stdout. Other pipes break too, such as the connection to the database.
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
    fn a_closed_stdout_differs_from_other_broken_pipes() {
        let ours = closed(io::Error::from(ErrorKind::BrokenPipe));
        assert!(is_closed(&anyhow::Error::from(ours).context("cannot print")));
        let theirs: anyhow::Result<()> =
            Err(io::Error::from(ErrorKind::BrokenPipe)).context("the database");
        assert!(!is_closed(&theirs.unwrap_err()));
        assert_eq!(closed(io::Error::from(ErrorKind::StorageFull)).kind(), ErrorKind::StorageFull);
    }
}
