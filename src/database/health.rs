//! Database errors: which ones mean that the database is unavailable, their log lines (at most one
//! per second), and which connections a failover has made useless.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::DatabaseMetrics;
use crate::telemetry::{LogLimit, chain};

/// The pause before a failed operation is retried: short, so that work resumes soon after a
/// recovery.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Longer than the server's `statement_timeout`, so that the server's error is seen first. A server
/// that vanished sends none, and sqlx would wait until TCP gives up.
const MAX_WAIT: Duration = Duration::from_secs(35);

/// The recent errors of the database, as this process saw them. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct DatabaseHealth(Arc<(Mutex<State>, LogLimit, DatabaseMetrics)>);

#[derive(Debug, Default)]
struct State {
    /// When a write last failed because the connection is read-only.
    read_only_at: Option<Instant>,
    last_error_at: Option<Instant>,
}

impl DatabaseHealth {
    /// Logs an error, at most once per second. `doing` says what failed: `cannot claim jobs`.
    pub fn report(&self, error: &sqlx::Error, doing: &str) {
        if is_read_only(error) {
            self.state().read_only_at = Some(Instant::now());
        }
        self.metrics().failed(error);
        self.log(&chain(error), doing);
    }

    /// As [`DatabaseHealth::report`], for an error that is text already.
    pub fn report_message(&self, error: &str, doing: &str) {
        self.metrics().cannot_record();
        self.log(error, doing);
    }

    fn log(&self, error: &str, doing: &str) {
        self.state().last_error_at = Some(Instant::now());
        self.0.1.write("database", |suppressed| {
            tracing::error!(error, log.suppressed = suppressed, "database: {doing}");
        });
    }

    pub fn metrics(&self) -> &DatabaseMetrics {
        &self.0.2
    }

    /// Whether an error was reported within the last `time`.
    pub fn was_unhealthy_within(&self, time: Duration) -> bool {
        self.state().last_error_at.is_some_and(|at| at.elapsed() < time)
    }

    /// Whether a connection of this age may be used: not if it is older than the last sign of a
    /// failover. A demoted server answers every ping and refuses every write (SQLSTATE 25006).
    pub(super) fn may_use(&self, age: Duration) -> bool {
        self.state().read_only_at.is_none_or(|at| age < at.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock()
    }
}

/// Fails with [`sqlx::Error::Io`] after 35 s, so that the database counts as unavailable.
pub async fn with_timeout<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    with_limit(MAX_WAIT, "no answer from Postgres", work).await
}

/// As [`with_timeout`], with this `limit` and the message `late`.
pub(super) async fn with_limit<T>(
    limit: Duration,
    late: &'static str,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, late);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(sqlx::Error::Io(late())))
}

pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "25006")
}

/// Whether an error means that the database cannot work now, rather than that it rejects the
/// request (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match code(error) {
        // Only these errors are permanent: 0A (feature not supported), 42 (syntax or access rule),
        // P0 (raised by our own functions) and errors about the data.
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

/// Whether a statement failed because of what other transactions hold: a deadlock, or a lock or a
/// statement that took too long. It may succeed if fewer rows are locked at once.
pub(super) fn is_contention(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| ["40P01", "55P03", "57014"].contains(&code.as_str()))
}

/// Whether an error is about the values: one cannot be stored, or (class 23) a constraint is
/// violated.
pub fn is_about_the_data(error: &sqlx::Error) -> bool {
    is_unstorable(error) || code(error).is_some_and(|code| code.starts_with("23"))
}

/// Whether a value cannot be stored anywhere: class 22 (data exception) or 54 (limit exceeded). A
/// retry fails in the same way.
pub fn is_unstorable(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| ["22", "54"].iter().any(|class| code.starts_with(class)))
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}
