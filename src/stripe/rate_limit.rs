//! Client-side rate limit that keeps calls below Stripe's limits
//! (<https://docs.stripe.com/rate-limits>).
//!
//! Stripe limits all calls of an account and the calls to each endpoint. There is a [`Pacer`] for
//! the account and one per endpoint: it assigns start times at least `1 / per_second` apart, first
//! come, first served. Replicas divide the rate ([`RateLimit::share_with`]). After a 429, the pacer
//! of the reported limit pauses and halves its speed, and recovers with each successful call; so
//! replicas that do not know each other converge to equal speeds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The scope of a 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// All calls of the account.
    Account,
    /// Calls to this endpoint.
    Endpoint,
    /// One locked object: other calls need not slow down.
    Object,
}

#[derive(Debug)]
pub(super) struct RateLimit(Mutex<Pacers>);

#[derive(Debug)]
struct Pacers {
    per_second: f64,
    /// The number of processes that share `per_second`.
    replicas: u32,
    all: Pacer,
    endpoints: HashMap<&'static str, Pacer>,
}

/// Spaces the calls of one limit.
#[derive(Clone, Copy, Debug)]
struct Pacer {
    /// The earliest start of the next call.
    next: Instant,
    /// The fraction of the rate in use, reduced by 429s.
    speed: f64,
}

/// A pacer never stops: the next call finds out whether Stripe accepts more again.
const MIN_SPEED: f64 = 1.0 / 32.0;
/// Gained per successful call: full speed after fifty.
const RECOVERY: f64 = 0.02;

/// A longer wait returns an error, so that the job is rescheduled.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Caps the pause after a 429: `Retry-After` applies to one call, others may proceed earlier.
const MAX_PAUSE: Duration = Duration::from_secs(30);

impl Pacer {
    fn gap(&self, rate: f64) -> Duration {
        Duration::from_secs_f64(1.0 / (rate * self.speed))
    }
}

impl RateLimit {
    pub(super) fn new(per_second: u32) -> Self {
        let all = Pacer { next: Instant::now(), speed: 1.0 };
        let per_second = f64::from(per_second.max(1));
        Self(Mutex::new(Pacers { per_second, replicas: 1, all, endpoints: HashMap::new() }))
    }

    pub(super) fn share_with(&self, replicas: u32) {
        self.0.lock().replicas = replicas.max(1);
    }

    /// Waits until the call may start. If that takes longer than [`MAX_WAIT`], returns the wait
    /// instead and reserves nothing: a waiting worker holds its claim and delays a shutdown.
    pub(super) async fn turn(&self, endpoint: &'static str) -> Result<(), Duration> {
        let start = self.reserve(endpoint, Instant::now())?;
        tokio::time::sleep_until(start.into()).await;
        Ok(())
    }

    fn reserve(&self, endpoint: &'static str, now: Instant) -> Result<Instant, Duration> {
        // One lock for both pacers: a call reserves its start in both, or in none.
        let mut pacers = self.0.lock();
        let rate = pacers.per_second / f64::from(pacers.replicas);
        let fresh = Pacer { next: now, speed: 1.0 };
        let mut one = *pacers.endpoints.entry(endpoint).or_insert(fresh);
        let mut all = pacers.all;
        let start = one.next.max(all.next).max(now);
        if start - now > MAX_WAIT {
            return Err(start - now);
        }
        one.next = one.next.max(now) + one.gap(rate);
        // Advance from the account's own time, not from `start`: a paused endpoint must not delay
        // the others.
        all.next = all.next.max(now) + all.gap(rate);
        pacers.endpoints.insert(endpoint, one);
        pacers.all = all;
        Ok(start)
    }

    /// Records a successful call.
    pub(super) fn succeeded(&self, endpoint: &'static str) {
        let mut pacers = self.0.lock();
        let faster = |pacer: &mut Pacer| pacer.speed = (pacer.speed + RECOVERY).min(1.0);
        faster(&mut pacers.all);
        pacers.endpoints.get_mut(endpoint).map(faster);
    }

    /// Records a 429: the pacer of the limit pauses and slows down.
    pub(super) fn slow_down(&self, endpoint: &'static str, limit: Limit, pause: Duration) {
        let (now, pause) = (Instant::now(), pause.min(MAX_PAUSE));
        let mut pacers = self.0.lock();
        let slower = |pacer: &mut Pacer| {
            pacer.speed = (pacer.speed / 2.0).max(MIN_SPEED);
            pacer.next = pacer.next.max(now + pause);
        };
        match limit {
            Limit::Account => slower(&mut pacers.all),
            Limit::Endpoint => {
                pacers.endpoints.get_mut(endpoint).map(slower);
            }
            Limit::Object => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(limit: &RateLimit, endpoint: &'static str, begin: Instant, count: usize) -> Vec<u64> {
        let start = |_| {
            u64::try_from((limit.reserve(endpoint, begin).unwrap() - begin).as_millis()).unwrap()
        };
        (0..count).map(start).collect()
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[test]
    fn calls_are_spaced_and_idle_time_is_not_accumulated() {
        let (limit, begin) = (RateLimit::new(10), later());
        assert_eq!(starts(&limit, "a", begin, 3), [0, 100, 200]);
        let much_later = begin + Duration::from_mins(1);
        assert_eq!(starts(&limit, "a", much_later, 2), [0, 100]);
    }

    #[test]
    fn replicas_share_the_rate() {
        let (limit, begin) = (RateLimit::new(10), later());
        limit.share_with(4);
        assert_eq!(starts(&limit, "a", begin, 3), [0, 400, 800]);
        assert_eq!(
            starts(&limit, "b", begin, 1),
            [1200],
            "the account's limit is for all endpoints"
        );
    }

    #[test]
    fn a_429_slows_down_only_its_limit() {
        let begin = later();
        let limit = RateLimit::new(10);
        let _ = (limit.reserve("a", begin), limit.reserve("b", begin));
        limit.slow_down("a", Limit::Object, Duration::from_secs(4));
        assert_eq!(starts(&limit, "a", begin, 1), [200]);
        limit.slow_down("a", Limit::Endpoint, Duration::from_secs(4));
        let a = starts(&limit, "a", begin, 2);
        assert!(a[0] > 2900 && a[1] - a[0] == 200, "paused and at half the speed: {a:?}");
        assert_eq!(
            starts(&limit, "b", begin, 1),
            [500],
            "it starts after four calls of `a`, not after the pause"
        );

        let limit = RateLimit::new(10);
        limit.slow_down("a", Limit::Account, Duration::from_secs(4));
        let b = starts(&limit, "b", begin, 2);
        assert!(b[0] > 2900 && b[1] - b[0] == 200, "{b:?}");
    }

    #[test]
    fn a_long_wait_is_an_error_and_a_pause_is_bounded() {
        let limit = RateLimit::new(10);
        limit.slow_down("a", Limit::Account, Duration::from_hours(1));
        let now = Instant::now();
        let far = limit.reserve("a", now).unwrap_err();
        assert!(far > MAX_WAIT && far <= MAX_PAUSE, "{far:?}");
        assert_eq!(limit.reserve("a", now).unwrap_err(), far, "nothing was reserved");
        assert!(limit.reserve("a", now + MAX_PAUSE).is_ok());
    }

    #[test]
    fn speed_recovers_with_successful_calls() {
        let limit = RateLimit::new(10);
        let _ = limit.reserve("a", Instant::now());
        for _ in 0..100 {
            limit.slow_down("a", Limit::Endpoint, Duration::ZERO);
        }
        assert!((limit.0.lock().endpoints["a"].speed - MIN_SPEED).abs() < f64::EPSILON);
        for _ in 0..50 {
            limit.succeeded("a");
        }
        assert!((limit.0.lock().endpoints["a"].speed - 1.0).abs() < f64::EPSILON);
    }
}
