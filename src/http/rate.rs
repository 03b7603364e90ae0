//! Rate limits per key (an API key, an account), within this process.
//!
//! `governor` implements the generic cell rate algorithm. It reads [`Clock::elapsed`], which no
//! correction of the clock sets back and which tests can advance.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::Quota;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;

use crate::clock::Clock;

/// The burst of [`Rate::per_second`], in seconds of the rate.
const BURST_SECONDS: NonZeroU32 = NonZeroU32::new(2).unwrap();
/// Bounds the memory. Above it, keys whose burst is fully replenished are dropped, which changes no
/// decision.
const MAX_KEYS: usize = 10_000;

/// A rate limit. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Rate(Option<Arc<Limiter>>);

type Limiter =
    governor::RateLimiter<String, HashMapStateStore<String>, Elapsed, NoOpMiddleware<Duration>>;

#[derive(Clone, Debug)]
struct Elapsed(Clock);

impl governor::clock::Clock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed().to_std().unwrap_or_default()
    }
}

impl Rate {
    /// `requests` per second with a burst of twice as many. 0 sets no limit.
    pub fn per_second(requests: u32, clock: Clock) -> Self {
        let burst = |requests: NonZeroU32| requests.saturating_mul(BURST_SECONDS);
        let quota = NonZeroU32::new(requests)
            .map(|requests| Quota::per_second(requests).allow_burst(burst(requests)));
        Self::new(quota, clock)
    }

    /// One request in each `interval`, with a burst of `burst`.
    pub fn one_in(interval: Duration, burst: NonZeroU32, clock: Clock) -> Self {
        Self::new(Quota::with_period(interval).map(|quota| quota.allow_burst(burst)), clock)
    }

    fn new(quota: Option<Quota>, clock: Clock) -> Self {
        Self(quota.map(|quota| Arc::new(Limiter::hashmap_with_clock(quota, Elapsed(clock)))))
    }

    /// Counts a request of `key`. A request over the limit is not counted; the error is the number
    /// of seconds to wait, rounded up.
    pub fn count(&self, key: &str) -> Result<(), u64> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        if limiter.len() >= MAX_KEYS {
            limiter.retain_recent();
        }
        limiter.check_key(&key.to_owned()).map_err(|refused| {
            let wait = refused.wait_time_from(limiter.clock().now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::clock::Measured;

    fn clock() -> Clock {
        Clock::movable(DateTime::from_timestamp(1_800_000_000, 0).unwrap())
    }

    fn burst(requests: u32) -> NonZeroU32 {
        NonZeroU32::new(requests).unwrap()
    }

    fn taken(rate: &Rate, key: &str, asked: usize) -> usize {
        (0..asked).filter(|_| rate.count(key).is_ok()).count()
    }

    #[test]
    fn a_burst_is_taken_then_the_rate_and_pauses_do_not_add_up() {
        let clock = clock();
        let rate = Rate::per_second(5, clock.clone());
        assert_eq!(taken(&rate, "key_1", 50), 10);
        assert_eq!(rate.count("key_1"), Err(1));
        assert_eq!(taken(&rate, "key_2", 50), 10, "each key has its own limit");
        clock.advance(TimeDelta::seconds(1));
        assert_eq!(taken(&rate, "key_1", 50), 5);
        clock.advance(TimeDelta::hours(1));
        assert_eq!(taken(&rate, "key_1", 50), 10);
    }

    #[test]
    fn one_in_an_interval_is_taken_after_the_burst() {
        let clock = clock();
        let rate = Rate::one_in(Duration::from_secs(2), burst(10), clock.clone());
        assert_eq!(taken(&rate, "acct_1", 50), 10);
        assert_eq!(rate.count("acct_1"), Err(2));
        clock.advance(TimeDelta::seconds(7));
        assert_eq!(taken(&rate, "acct_1", 50), 3);
        clock.advance(TimeDelta::hours(1));
        assert_eq!(taken(&rate, "acct_1", 50), 10);
    }

    #[test]
    fn a_request_after_the_announced_wait_is_taken() {
        let clock = clock();
        let (rate, start) = (Rate::per_second(1, clock.clone()), clock.now());
        for _ in 0..20 {
            if let Err(seconds) = rate.count("key_1") {
                clock.advance(TimeDelta::seconds(i64::try_from(seconds).unwrap()));
                assert_eq!(rate.count("key_1"), Ok(()));
            }
        }
        assert_eq!((clock.now() - start).num_seconds(), 18);
    }

    #[test]
    fn setting_the_clock_back_blocks_no_key() {
        let clock = Clock::system();
        let rate = Rate::one_in(Duration::from_hours(1), burst(10), clock.clone());
        let set = |days| {
            let time = clock.now() + TimeDelta::days(days);
            let round_trip = Duration::from_millis(1);
            clock.follow(Measured { time, answered_at: Instant::now(), round_trip });
        };
        set(365);
        assert_eq!(taken(&rate, "key_1", 10), 10);
        set(-365);
        assert_eq!(rate.count("key_1"), Err(3600));
        clock.advance(TimeDelta::hours(5));
        assert_eq!(taken(&rate, "key_1", 50), 5);
    }

    #[test]
    fn without_a_limit_all_is_taken() {
        assert_eq!(taken(&Rate::per_second(0, clock()), "key_1", 10_000), 10_000);
    }

    #[test]
    fn idle_keys_are_forgotten() {
        let clock = clock();
        let rate = Rate::per_second(1, clock.clone());
        for number in 0..=MAX_KEYS {
            clock.advance(TimeDelta::seconds(2));
            assert_eq!(rate.count(&format!("key_{number}")), Ok(()));
        }
        assert!(rate.0.unwrap().len() < 10);
    }
}
