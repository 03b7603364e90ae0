//! Limits log lines that external requests can cause: one line of each kind per second, with the
//! number of suppressed lines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::Throttle;

const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct LogLimit(Mutex<BTreeMap<&'static str, Kind>>);

#[derive(Debug, Default)]
struct Kind {
    written: Throttle,
    suppressed: u64,
}

impl LogLimit {
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Calls `line` at most once a second for each kind. It gets the number of lines suppressed
    /// since the last one, for the field `log.suppressed`; `None` where there were none.
    pub fn write(&self, kind: &'static str, line: impl FnOnce(Option<u64>)) {
        if let Some(suppressed) = self.admit(kind, Instant::now()) {
            line((suppressed > 0).then_some(suppressed));
        }
    }

    fn admit(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock();
        let known = kinds.entry(kind).or_default();
        if known.written.is_due(INTERVAL, now) {
            return Some(std::mem::take(&mut known.suppressed));
        }
        known.suppressed += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_line_is_written_once_a_second_and_the_rest_are_counted() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let at = |kind, millis| limit.admit(kind, start + Duration::from_millis(millis));
        assert_eq!(at("bad_key", 0), Some(0));
        for millis in 1..=500 {
            assert_eq!(at("bad_key", millis), None);
        }
        assert_eq!(at("missing_key", 500), Some(0), "each kind has its own second");
        assert_eq!(at("bad_key", 1000), Some(500));
        assert_eq!(at("bad_key", 2000), Some(0), "each suppressed line is counted once");
    }
}
