//! The one source of time. Production reads the system's clock; tests hold a clock that they move by hand, so that
//! no test sleeps and none depends on the day it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time, to the microsecond (as Postgres keeps it, so that what is written compares equal to what is read).
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Microseconds since the epoch.
    Movable(Arc<AtomicI64>),
    /// Microseconds ahead of the system's clock.
    Ahead(Arc<AtomicI64>),
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until [`Clock::advance`] moves it. Clones share the time.
    pub fn movable(start: DateTime<Utc>) -> Self {
        Self(Source::Movable(Arc::new(AtomicI64::new(start.timestamp_micros()))))
    }

    /// A clock that goes on as the system's does, and that [`Clock::advance`] can put ahead of it. Clones share the time.
    pub fn running_ahead() -> Self {
        Self(Source::Ahead(Arc::default()))
    }

    /// The present, in UTC.
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.0 {
            Source::System => of_the_system(),
            Source::Ahead(micros) => of_the_system().saturating_add(micros.load(Ordering::SeqCst)),
            Source::Movable(micros) => micros.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or_default()
    }

    /// Moves a clock of ours forward. The system's clock is not ours to move, so there it does nothing.
    pub fn advance(&self, by: TimeDelta) {
        match &self.0 {
            Source::System => {}
            Source::Movable(micros) | Source::Ahead(micros) => {
                micros.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
fn of_the_system() -> i64 {
    Utc::now().timestamp_micros()
}
