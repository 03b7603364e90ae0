//! The simulator's time, which the caller provides: a program under test and the simulator that it
//! talks to must agree on the time, also where a test moves it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// A clock that can be read and moved forward. Clones share the time.
#[derive(Clone)]
pub struct TimeSource {
    now: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    advance: Arc<dyn Fn(TimeDelta) + Send + Sync>,
}

impl TimeSource {
    /// The caller's own clock. `advance` moves it, for the pages on which a week passes in a
    /// second.
    pub fn from_fns(
        now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
        advance: impl Fn(TimeDelta) + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), advance: Arc::new(advance) }
    }

    /// The machine's clock, plus what it was advanced by.
    pub fn system() -> Self {
        Self::offset_from(wall_clock)
    }

    /// Stands still at `start` until it is advanced.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self::offset_from(move || start)
    }

    fn offset_from(base: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        let offset = Arc::new(AtomicI64::new(0));
        let advanced = Arc::clone(&offset);
        Self::from_fns(
            move || base() + TimeDelta::microseconds(offset.load(Ordering::SeqCst)),
            move |by| {
                let by = by.num_microseconds().unwrap_or_default();
                advanced.fetch_add(by, Ordering::SeqCst);
            },
        )
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.now)()
    }

    pub fn advance(&self, by: TimeDelta) {
        (self.advance)(by);
    }
}

impl fmt::Debug for TimeSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("TimeSource").field(&self.now()).finish()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that the ban points to")]
fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}
