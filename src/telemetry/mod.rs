//! Logging, and the building blocks of [`metrics`] and [`traces`]. Logs are JSON for machines,
//! readable text on a terminal. Always to stderr, because stdout carries the output of commands. No
//! log line becomes a span.

mod log_limit;
pub mod metrics;
pub mod traces;

use std::error::Error;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use url::Url;

pub use log_limit::LogLimit;

#[derive(Clone, Debug)]
pub struct Settings {
    pub filter: Filter,
    pub format: Format,
    /// Where `serve` and `worker` export traces; `None`: nowhere.
    pub otlp_endpoint: Option<Url>,
}

/// Valid `tracing` filter directives.
#[derive(Clone, Debug)]
pub struct Filter(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Pretty` on a terminal, `Json` elsewhere.
    Auto,
    /// One object per line.
    Json,
    Pretty,
}

impl FromStr for Filter {
    type Err = tracing_subscriber::filter::ParseError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        EnvFilter::try_new(given).map(|_| Self(given.to_owned()))
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match given {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err("must be auto, pretty or json"),
        }
    }
}

/// Starts logging. A second call has no effect.
pub fn init(settings: &Settings) {
    let json = match settings.format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Json => true,
        Format::Pretty => false,
    };
    let filter = EnvFilter::new(&settings.filter.0);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        registry.with(lines.compact().with_ansi(std::io::stderr().is_terminal())).try_init()
    };
    // Fails only if a logger is set already, which happens in tests.
    drop(started);
}

/// The messages of an error and its sources, joined by `: `, for logs, people and the database. A
/// source that the message before it ends with is left out. Replaces NUL, which Postgres cannot
/// store: an error may quote external input.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut source) = message(error);
    while let Some(cause) = source {
        let (cause_text, next) = message(cause);
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = next;
    }
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// The message of an error, and its source.
fn message<'a>(error: &'a (dyn Error + 'static)) -> (String, Option<&'a (dyn Error + 'static)>) {
    match error.downcast_ref() {
        // sqlx adds a line number of Postgres' own source.
        Some(sqlx::Error::Database(error)) => (error.message().to_owned(), None),
        // sqlx does not tell the two causes apart.
        Some(sqlx::Error::PoolTimedOut) => {
            let text = "no connection in time: Postgres cannot be reached, or all connections are \
                        in use";
            (text.to_owned(), None)
        }
        Some(_) | None => (error.to_string(), error.source()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use anyhow::Context;

    use super::chain;

    #[test]
    fn a_chain_contains_no_nul() {
        assert_eq!(chain(&Error::other("a\0b")), "a\u{fffd}b");
    }

    #[test]
    fn a_chain_says_each_thing_once() {
        // sqlx repeats the source of an I/O error.
        let refused = sqlx::Error::Io(Error::other("connection refused"));
        let error = Err::<(), _>(refused).context("cannot start").unwrap_err();
        assert_eq!(
            chain(error.as_ref()),
            "cannot start: error communicating with database: connection refused"
        );
    }
}
