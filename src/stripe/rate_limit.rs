//! Keeps our calls below Stripe's rate limits (<https://docs.stripe.com/rate-limits>) instead of running into them.
//!
//! Stripe counts all calls of an account, and those to each endpoint. Here is a lane for both: starting times that are at least
//! `1 / per_second` apart, handed out in the order of asking. Several replicas share what Stripe allows: each takes its part of the
//! rate ([`RateLimit::share_with`]), and where Stripe says 429 all the same, the lane that it named pauses and goes on at half the
//! speed, which it wins back call by call. Replicas that know nothing of each other come to equal speeds that way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// What a 429 is about, as far as it decides who has to slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// All calls of the account.
    Account,
    /// Calls to this endpoint.
    Endpoint,
    /// One object that somebody else holds: nobody else has to slow down.
    Object,
}

/// Hands out starting times.
#[derive(Debug)]
pub(super) struct RateLimit(Mutex<DomainLimiter>);

#[derive(Debug)]
struct DomainLimiter {
    per_second: f64,
    /// Replicas that share the rate.
    replicas: u32,
    all: Lane,
    endpoints: HashMap<&'static str, Lane>,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    /// When the next call may start.
    next: Instant,
    /// The part of the rate that Stripe has not taken away.
    speed: f64,
}

/// A lane never stands still: the call that it lets through finds out whether Stripe takes more again.
const SLOWEST: f64 = 1.0 / 32.0;
/// What a call that went through wins back: full speed after fifty.
const WON_BACK: f64 = 0.02;

/// A call that has to wait for longer is put off as a whole.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// However long Stripe wants one call to wait, the others find out by themselves whether they have to.
const MAX_PAUSE: Duration = Duration::from_secs(30);

impl Lane {
    fn gap(&self, rate: f64) -> Duration {
        Duration::from_secs_f64(1.0 / (rate * self.speed))
    }
}

impl RateLimit {
    /// `per_second` is above zero: the settings are checked.
    pub(super) fn new(per_second: u32) -> Self {
        let all = Lane { next: Instant::now(), speed: 1.0 };
        let per_second = f64::from(per_second.max(1));
        Self(Mutex::new(DomainLimiter { per_second, replicas: 1, all, endpoints: HashMap::new() }))
    }

    /// Takes one part of the rate where so many replicas share it.
    pub(super) fn share_with(&self, replicas: u32) {
        self.lanes().replicas = replicas.max(1);
    }

    /// Waits until it is this call's turn. Where that is far away nothing is booked, and the caller hears how far: whoever waits
    /// keeps a job from others, and a process from stopping.
    pub(super) async fn turn(&self, endpoint: &'static str) -> Result<(), Duration> {
        let start = self.book(endpoint, Instant::now())?;
        tokio::time::sleep_until(start.into()).await;
        Ok(())
    }

    fn book(&self, endpoint: &'static str, now: Instant) -> Result<Instant, Duration> {
        let mut lanes = self.lanes();
        let rate = lanes.per_second / f64::from(lanes.replicas);
        let fresh = Lane { next: now, speed: 1.0 };
        let mut one = *lanes.endpoints.entry(endpoint).or_insert(fresh);
        let mut all = lanes.all;
        let start = one.next.max(all.next).max(now);
        if start - now > MAX_WAIT {
            return Err(start - now);
        }
        one.next = one.next.max(now) + one.gap(rate);
        // Not from `start`: an endpoint that has to pause must not hold up the others.
        all.next = all.next.max(now) + all.gap(rate);
        lanes.endpoints.insert(endpoint, one);
        lanes.all = all;
        Ok(start)
    }

    /// A call went through.
    pub(super) fn went_through(&self, endpoint: &'static str) {
        let mut lanes = self.lanes();
        let faster = |lane: &mut Lane| lane.speed = (lane.speed + WON_BACK).min(1.0);
        faster(&mut lanes.all);
        lanes.endpoints.get_mut(endpoint).map(faster);
    }

    /// Stripe said 429: the lane that it means pauses and slows down.
    pub(super) fn slow_down(&self, endpoint: &'static str, limit: Limit, pause: Duration) {
        let (now, pause) = (Instant::now(), pause.min(MAX_PAUSE));
        let mut lanes = self.lanes();
        let slower = |lane: &mut Lane| {
            lane.speed = (lane.speed / 2.0).max(SLOWEST);
            lane.next = lane.next.max(now + pause);
        };
        match limit {
            Limit::Account => slower(&mut lanes.all),
            Limit::Endpoint => {
                lanes.endpoints.get_mut(endpoint).map(slower);
            }
            Limit::Object => {}
        }
    }

    fn lanes(&self) -> MutexGuard<'_, DomainLimiter> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(pace: &RateLimit, endpoint: &'static str, begin: Instant, count: usize) -> Vec<u64> {
        let start =
            |_| u64::try_from((pace.book(endpoint, begin).unwrap() - begin).as_millis()).unwrap();
        (0..count).map(start).collect()
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[test]
    fn calls_are_spread_and_a_pause_is_not_saved_up() {
        let (pace, begin) = (RateLimit::new(10), later());
        assert_eq!(starts(&pace, "a", begin, 3), [0, 100, 200]);
        let much_later = begin + Duration::from_mins(1);
        assert_eq!(starts(&pace, "a", much_later, 2), [0, 100]);
    }

    #[test]
    fn replicas_share_what_stripe_allows() {
        let (pace, begin) = (RateLimit::new(10), later());
        pace.share_with(4);
        assert_eq!(starts(&pace, "a", begin, 3), [0, 400, 800]);
        assert_eq!(
            starts(&pace, "b", begin, 1),
            [1200],
            "the account's limit is for all endpoints"
        );
    }

    #[test]
    fn a_429_slows_down_whom_it_means_and_nobody_else() {
        let begin = later();
        let pace = RateLimit::new(10);
        let _ = (pace.book("a", begin), pace.book("b", begin));
        pace.slow_down("a", Limit::Object, Duration::from_secs(4));
        assert_eq!(starts(&pace, "a", begin, 1), [200]);
        pace.slow_down("a", Limit::Endpoint, Duration::from_secs(4));
        let a = starts(&pace, "a", begin, 2);
        assert!(a[0] > 2900 && a[1] - a[0] == 200, "paused and at half the speed: {a:?}");
        assert_eq!(
            starts(&pace, "b", begin, 1),
            [500],
            "its turn is after four of `a`, and not after the pause"
        );

        let pace = RateLimit::new(10);
        pace.slow_down("a", Limit::Account, Duration::from_secs(4));
        let b = starts(&pace, "b", begin, 2);
        assert!(b[0] > 2900 && b[1] - b[0] == 200, "{b:?}");
    }

    #[test]
    fn a_turn_that_is_far_away_is_not_waited_for_and_a_pause_is_bounded() {
        let pace = RateLimit::new(10);
        pace.slow_down("a", Limit::Account, Duration::from_hours(1));
        let now = Instant::now();
        let far = pace.book("a", now).unwrap_err();
        assert!(far > MAX_WAIT && far <= MAX_PAUSE, "{far:?}");
        assert_eq!(pace.book("a", now).unwrap_err(), far, "nothing was booked");
        assert!(pace.book("a", now + MAX_PAUSE).is_ok());
    }

    #[test]
    fn speed_is_won_back_call_by_call_and_never_lost_for_good() {
        let pace = RateLimit::new(10);
        let _ = pace.book("a", Instant::now());
        for _ in 0..100 {
            pace.slow_down("a", Limit::Endpoint, Duration::ZERO);
        }
        assert!((pace.lanes().endpoints["a"].speed - SLOWEST).abs() < f64::EPSILON);
        for _ in 0..50 {
            pace.went_through("a");
        }
        assert!((pace.lanes().endpoints["a"].speed - 1.0).abs() < f64::EPSILON);
    }
}
