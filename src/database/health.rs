//! A database in trouble: which errors say so, one log line a second about it, and connections that a failover left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::telemetry::{LogLimit, chain};

/// How long to leave a database alone that would not do something: short, so that work goes on soon after it is back.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Longer than the server's own limit on a statement, so that its answer is the one that counts. A server that vanished without
/// a word gives none, and sqlx would wait for it as long as TCP does.
const MAX_WAIT: Duration = Duration::from_secs(35);

/// What this process knows of its database's trouble. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct DatabaseHealth(Arc<(Mutex<State>, LogLimit)>);

#[derive(Debug, Default)]
struct State {
    /// When a connection turned out to be read-only.
    read_only_at: Option<Instant>,
    last_trouble_at: Option<Instant>,
}

impl DatabaseHealth {
    /// Tells of an error, in the log at most once a second. `doing` says what could not be done.
    pub fn report(&self, error: &sqlx::Error, doing: &str) {
        if is_read_only(error) {
            self.state().read_only_at = Some(Instant::now());
        }
        self.report_text(&chain(error), doing);
    }

    /// As [`DatabaseHealth::tell`], of an error that is text already.
    pub fn report_text(&self, error: &str, doing: &str) {
        self.state().last_trouble_at = Some(Instant::now());
        self.0.1.write("database", |suppressed| {
            tracing::error!(error, log.suppressed = suppressed, "database: {doing}");
        });
    }

    /// Whether there was trouble not longer ago than this.
    pub fn was_unhealthy_within(&self, time: Duration) -> bool {
        self.state().last_trouble_at.is_some_and(|at| at.elapsed() < time)
    }

    /// Whether a connection of this age may be used: none that is older than the last sign of a failover. A server that was
    /// demoted answers every ping and refuses every write (SQLSTATE 25006).
    pub(super) fn may_use(&self, age: Duration) -> bool {
        self.state().read_only_at.is_none_or(|at| age < at.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock()
    }
}

/// Waits for the database, but not for ever: past 35 s it counts as away.
pub async fn with_timeout<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    with_limit(MAX_WAIT, "no answer from Postgres", work).await
}

/// Waits for the database this long; past it, it counts as away, for the reason `late`.
pub(super) async fn with_limit<T>(
    limit: Duration,
    late: &'static str,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, late);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(sqlx::Error::Io(late())))
}

fn is_read_only(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "25006")
}

/// Whether an error says that the database cannot work now, rather than that it will not take what it was given
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match code(error) {
        // Of all that a server can say, this is what no waiting mends: 0A it cannot do that, 42 it does not understand, P0 our own
        // functions, and what `is_about_the_data` knows.
        Some(code) => {
            !is_about_the_data(error)
                && !["0A", "42", "P0"].iter().any(|class| code.starts_with(class))
        }
        None => matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
        ),
    }
}

/// Whether an error is about the values themselves: one that cannot be stored, or (class 23) a
/// constraint that does not hold.
pub fn is_about_the_data(error: &sqlx::Error) -> bool {
    is_unstorable(error) || code(error).is_some_and(|code| code.starts_with("23"))
}

/// Whether no table would take the values: class 22 is a value that does not fit, 54 something too
/// large. Trying again ends the same.
pub fn is_unstorable(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| ["22", "54"].iter().any(|class| code.starts_with(class)))
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}
