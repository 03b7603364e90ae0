//! How often somebody may ask: once in so long on the average, and so many times at once. In this process alone.
//!
//! The generic cell rate algorithm (ITU-T I.371): of each who asks one moment is kept, at which all that he asked would have been asked in
//! due measure. Whoever is ahead of that by more than a burst is told how long to wait. A crate would bring a clock of its own, which tests
//! cannot move, for these lines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

const MICROS: i64 = 1_000_000;
/// Of a rate by the second, how many seconds' worth may come at once.
const BURST_SECONDS: i64 = 2;
/// More keys than any platform has, and more merchants than click within seconds: beyond, those that are idle are forgotten.
const MAX_KEYS: usize = 10_000;

/// Counts what each key asks: whatever names somebody who asks. Clones count together.
#[derive(Clone, Debug)]
pub struct Rate {
    /// Microseconds from one request to the next; 0: no limit.
    interval: i64,
    /// Microseconds by which somebody may be ahead.
    burst: i64,
    /// By key, in microseconds since the epoch.
    due: Arc<Mutex<HashMap<String, i64>>>,
}

impl Rate {
    /// So many requests a second, and twice as many at once; 0: no limit.
    pub fn per_second(requests: u32) -> Self {
        let interval = if requests == 0 { 0 } else { MICROS / i64::from(requests) };
        Self { interval, burst: BURST_SECONDS * MICROS, due: Arc::default() }
    }

    /// One request in so long, and so many at once.
    pub fn one_in(interval: Duration, at_once: u32) -> Self {
        let interval = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX);
        Self { interval, burst: interval.saturating_mul(i64::from(at_once)), due: Arc::default() }
    }

    /// Counts a request of a key; or says after how many seconds it may ask again.
    pub fn count(&self, key: &str, now: DateTime<Utc>) -> Result<(), u64> {
        let (now, burst) = (now.timestamp_micros(), self.burst);
        // Plain values, whole at any time.
        let mut all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KEYS {
            all.retain(|_, due| *due > now);
        }
        // A clock that was set back must not lock anybody out.
        let due = all.get(key).map_or(now, |due| (*due).clamp(now, now + burst));
        let next = due + self.interval;
        let ahead = u64::try_from(next - now - burst).unwrap_or(0);
        all.insert(key.to_owned(), if ahead > 0 { due } else { next });
        if ahead > 0 { Err(ahead.div_ceil(MICROS.unsigned_abs())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn taken(rate: &Rate, key: &str, now: DateTime<Utc>, asked: usize) -> usize {
        (0..asked).filter(|_| rate.count(key, now).is_ok()).count()
    }

    #[test]
    fn a_burst_is_taken_and_after_it_as_many_as_a_second_brings() {
        let (rate, now) = (Rate::per_second(5), start());
        assert_eq!(taken(&rate, "key_1", now, 50), 10);
        assert_eq!(rate.count("key_1", now), Err(1));
        assert_eq!(taken(&rate, "key_2", now, 50), 10, "each key for itself");
        assert_eq!(taken(&rate, "key_1", now + TimeDelta::seconds(1), 50), 5);
        assert_eq!(
            taken(&rate, "key_1", now + TimeDelta::hours(1), 50),
            10,
            "a pause is not saved up"
        );
    }

    #[test]
    fn one_in_some_seconds_is_taken_on_the_average_and_some_at_once() {
        let (rate, now) = (Rate::one_in(Duration::from_secs(2), 10), start());
        assert_eq!(taken(&rate, "acct_1", now, 50), 10);
        assert_eq!(rate.count("acct_1", now), Err(2));
        assert_eq!(taken(&rate, "acct_1", now + TimeDelta::seconds(7), 50), 3);
        assert_eq!(
            taken(&rate, "acct_1", now + TimeDelta::hours(1), 50),
            10,
            "a pause is not saved up"
        );
    }

    #[test]
    fn whoever_waits_as_long_as_he_is_told_may_ask() {
        let (rate, mut now) = (Rate::per_second(1), start());
        for _ in 0..20 {
            if let Err(seconds) = rate.count("key_1", now) {
                now += TimeDelta::seconds(i64::try_from(seconds).unwrap());
                assert_eq!(rate.count("key_1", now), Ok(()));
            }
        }
        assert_eq!((now - start()).num_seconds(), 18);
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_long() {
        let (rate, now) = (Rate::per_second(5), start());
        assert_eq!(taken(&rate, "key_1", now + TimeDelta::days(365), 10), 10);
        assert_eq!(rate.count("key_1", now), Err(1));
        assert_eq!(taken(&rate, "key_1", now + TimeDelta::seconds(1), 50), 5, "as after a burst");
    }

    #[test]
    fn without_a_limit_all_is_taken_and_idle_keys_are_forgotten() {
        assert_eq!(taken(&Rate::per_second(0), "key_1", start(), 10_000), 10_000);
        let rate = Rate::per_second(1);
        let mut now = start();
        for number in 0..=MAX_KEYS {
            now += TimeDelta::seconds(2);
            assert_eq!(rate.count(&format!("key_{number}"), now), Ok(()));
        }
        assert!(rate.due.lock().unwrap().len() < 10);
    }
}
