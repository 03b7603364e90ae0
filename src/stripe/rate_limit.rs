//! Client-side rate limit that keeps calls below Stripe's limits
//! (<https://docs.stripe.com/rate-limits>).
//!
//! Stripe limits all calls of an account and the calls to each endpoint. There is a [`Pacer`] for
//! the account and one per endpoint, and each gives calls their start times, first come, first
//! served: `1 / per_second` apart, except that the first few after a pause start at once. A lone
//! offer needs four calls, and waits for none of them. No second has more calls than `per_second`
//! all the same. Replicas divide the rate ([`RateLimit::share_with`]). After a 429, the pacer of the
//! reported limit pauses and halves its speed, and recovers with each successful call; so replicas
//! that do not know each other converge to equal speeds.

use std::collections::{HashMap, VecDeque};
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
    /// Calls to an endpoint.
    per_second: f64,
    /// All calls, as a multiple of `per_second`.
    endpoints_at_once: f64,
    /// The number of processes that share the rate.
    replicas: u32,
    all: Pacer,
    endpoints: HashMap<&'static str, Pacer>,
}

/// Spaces the calls of one limit.
#[derive(Debug)]
struct Pacer {
    /// The start of the next call if all are spaced.
    next: Instant,
    /// The start times of the latest calls, at most [`MAX_COUNTED`].
    starts: VecDeque<Instant>,
    /// No call starts earlier.
    paused_until: Instant,
    /// The fraction of the rate in use, reduced by 429s.
    speed: f64,
}

/// A pacer never stops: the next call finds out whether Stripe accepts more again.
const MIN_SPEED: f64 = 1.0 / 32.0;
/// Gained per successful call: full speed after fifty.
const RECOVERY: f64 = 0.02;
/// How many calls start at once after a pause: those of a lone offer (offer, account, transactions,
/// mark), and one to spare.
const BURST: usize = 5;
/// A higher rate is kept over this many calls instead of over a second.
const MAX_COUNTED: usize = 25;

/// A longer wait returns an error, so that the job is rescheduled.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Caps the pause after a 429: `Retry-After` applies to one call, others may proceed earlier.
const MAX_PAUSE: Duration = Duration::from_secs(30);

impl Pacer {
    fn new(now: Instant) -> Self {
        Self { next: now, starts: VecDeque::new(), paused_until: now, speed: 1.0 }
    }

    fn gap(&self, rate: f64) -> Duration {
        Duration::from_secs_f64(1.0 / (rate * self.speed))
    }

    /// When the next call may start.
    fn earliest(&self, rate: f64, now: Instant) -> Instant {
        let gap = self.gap(rate);
        let counted = calls_per_second(rate);
        // After a 429 Stripe counts more calls than we do.
        let burst = if self.speed < 1.0 { 1 } else { BURST.min(counted) };
        let spaced = self.next.checked_sub(times(gap, burst - 1)).unwrap_or(self.next);
        // Any `counted` calls take as long as if they were spaced, so a burst adds none to a second.
        let oldest = self.starts.len().checked_sub(counted).map(|oldest| self.starts[oldest]);
        let counted = oldest.map_or(now, |oldest| oldest + times(gap, counted));
        spaced.max(counted).max(self.paused_until).max(now)
    }

    fn start(&mut self, rate: f64, at: Instant) {
        self.next = self.next.max(at) + self.gap(rate);
        self.starts.push_back(at);
        if self.starts.len() > MAX_COUNTED {
            self.starts.pop_front();
        }
    }
}

/// The number of calls that a second holds, from 1 to [`MAX_COUNTED`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "from 1 to 25"
)]
fn calls_per_second(rate: f64) -> usize {
    rate.clamp(1.0, MAX_COUNTED as f64) as usize
}

fn times(gap: Duration, count: usize) -> Duration {
    gap * u32::try_from(count).unwrap_or(u32::MAX)
}

impl RateLimit {
    /// `per_second` calls to an endpoint, and `endpoints_at_once` times as many in all.
    pub(super) fn new(per_second: u32, endpoints_at_once: u32) -> Self {
        let all = Pacer::new(Instant::now());
        let per_second = f64::from(per_second.max(1));
        let endpoints_at_once = f64::from(endpoints_at_once.max(1));
        let endpoints = HashMap::new();
        Self(Mutex::new(Pacers { per_second, endpoints_at_once, replicas: 1, all, endpoints }))
    }

    pub(super) fn share_with(&self, replicas: u32) {
        self.0.lock().replicas = replicas.max(1);
    }

    /// Waits until the call may start. If that takes longer than [`MAX_WAIT`], returns the wait
    /// instead and reserves nothing: a waiting worker holds its claim and delays a shutdown.
    pub(super) async fn turn(&self, endpoint: &'static str) -> Result<(), Duration> {
        let now = Instant::now();
        let start = self.reserve(endpoint, now)?;
        // The timer rounds up to its next tick, also for a time that has come.
        if start > now {
            tokio::time::sleep_until(start.into()).await;
        }
        Ok(())
    }

    fn reserve(&self, endpoint: &'static str, now: Instant) -> Result<Instant, Duration> {
        // One lock for both pacers: a call reserves its start in both, or in none.
        let mut pacers = self.0.lock();
        let Pacers { per_second, endpoints_at_once, replicas, all, endpoints } = &mut *pacers;
        let rate = *per_second / f64::from(*replicas);
        let total_rate = rate * *endpoints_at_once;
        let one = endpoints.entry(endpoint).or_insert_with(|| Pacer::new(now));
        let of_all = all.earliest(total_rate, now);
        let start = one.earliest(rate, now).max(of_all);
        if start - now > MAX_WAIT {
            return Err(start - now);
        }
        one.start(rate, start);
        // The account's own time, not `start`: a paused endpoint must not delay the others.
        all.start(total_rate, of_all);
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
            pacer.paused_until = pacer.paused_until.max(now + pause);
            pacer.next = pacer.next.max(pacer.paused_until);
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
    fn calls_are_spaced_after_a_burst() {
        let (limit, begin) = (RateLimit::new(10, 1), later());
        // Ten in a second, however they begin.
        let expected = [0, 0, 0, 0, 0, 100, 200, 300, 400, 500, 1000, 1000, 1000];
        assert_eq!(starts(&limit, "a", begin, 13), expected);
        let much_later = begin + Duration::from_mins(1);
        assert_eq!(starts(&limit, "a", much_later, 7), [0, 0, 0, 0, 0, 100, 200]);
        let high = RateLimit::new(1000, 1);
        assert_eq!(starts(&high, "a", begin, 30)[20..], [16, 17, 18, 19, 20, 25, 25, 25, 25, 25]);
    }

    #[test]
    fn no_second_has_more_calls_than_the_rate() {
        let begin = later();
        for (rate, pauses) in
            [(25, vec![0]), (10, vec![0, 900, 50]), (3, vec![2500, 0, 1]), (1, vec![700])]
        {
            let (limit, mut now, mut all) = (RateLimit::new(rate, 1), begin, Vec::new());
            for pause in pauses.iter().cycle().take(300) {
                // Some callers come late, and the burst begins anew.
                now += Duration::from_millis(*pause);
                match limit.reserve("a", now) {
                    Ok(start) => all.push(start),
                    Err(wait) => now += wait,
                }
            }
            let most = usize::try_from(rate).unwrap();
            for window in all.windows(most + 1) {
                let took = window[most] - window[0];
                assert!(took >= Duration::from_millis(999), "{rate}: {took:?}");
            }
            assert!(all.len() > 100, "{rate}: {}", all.len());
        }
    }

    #[test]
    fn replicas_share_the_rate() {
        let (limit, begin) = (RateLimit::new(16, 1), later());
        limit.share_with(4);
        assert_eq!(starts(&limit, "a", begin, 6), [0, 0, 0, 0, 1000, 1000]);
        let many = RateLimit::new(10, 1);
        many.share_with(20);
        assert_eq!(starts(&many, "a", begin, 2), [0, 2000]);
        assert_eq!(
            starts(&many, "b", begin, 1),
            [4000],
            "the account's limit is for all endpoints"
        );
    }

    #[test]
    fn several_endpoints_may_be_called_at_once() {
        let (limit, begin) = (RateLimit::new(1, 2), later());
        assert_eq!(starts(&limit, "a", begin, 2), [0, 1000]);
        assert_eq!(starts(&limit, "b", begin, 2), [1000, 2000], "two a second in all");
    }

    #[test]
    fn a_429_slows_down_only_its_limit() {
        let begin = later();
        let limit = RateLimit::new(10, 1);
        let _ = (limit.reserve("a", begin), limit.reserve("b", begin));
        limit.slow_down("a", Limit::Object, Duration::from_secs(4));
        assert_eq!(starts(&limit, "a", begin, 1), [0]);
        limit.slow_down("a", Limit::Endpoint, Duration::from_secs(4));
        let a = starts(&limit, "a", begin, 2);
        assert!(a[0] > 2900 && a[1] - a[0] == 200, "paused and at half the speed: {a:?}");
        assert_eq!(
            starts(&limit, "b", begin, 1),
            [100],
            "five calls of `a`, but not after the pause"
        );

        let limit = RateLimit::new(10, 1);
        limit.slow_down("a", Limit::Account, Duration::from_secs(4));
        let b = starts(&limit, "b", begin, 2);
        assert!(b[0] > 2900 && b[1] - b[0] == 200, "{b:?}");
    }

    #[test]
    fn a_long_wait_is_an_error_and_a_pause_is_bounded() {
        let limit = RateLimit::new(10, 1);
        limit.slow_down("a", Limit::Account, Duration::from_hours(1));
        let now = Instant::now();
        let far = limit.reserve("a", now).unwrap_err();
        assert!(far > MAX_WAIT && far <= MAX_PAUSE, "{far:?}");
        assert_eq!(limit.reserve("a", now).unwrap_err(), far, "nothing was reserved");
        assert!(limit.reserve("a", now + MAX_PAUSE).is_ok());
    }

    #[test]
    fn speed_recovers_with_successful_calls() {
        let limit = RateLimit::new(10, 1);
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
