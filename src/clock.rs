//! The one source of time: the database's clock, advanced by this machine's monotonic clock.
//!
//! Processes share leases, due times and the expiry of offers, so they must agree on the time, and
//! a machine's wall clock may be wrong or jump. Each process therefore measures the database's time
//! at its start and every few seconds ([`Clock::follow`], called by `clock_sync`) and adds the time
//! that its monotonic clock has counted since. The wall clock is read only until the first
//! measurement and to report its error.
//!
//! The database's clock can also be wrong, or jump after a failover or a restore. Each response of
//! Stripe carries Stripe's time: [`Clock::compare`] stores the difference and [`Clock::agreement`]
//! judges it. The stored time of Stripe advances with the monotonic clock too, so a jump of the
//! database's clock shows without another response.
//!
//! Tests that depend on the time use [`Clock::movable`], which stands still until it is advanced.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::{Mutex, MutexGuard};

/// The largest accepted difference between the database's clock and Stripe's. Well below the 300 s
/// after which webhook signatures are refused, and far above the error of an NTP client.
pub const MAX_SKEW: TimeDelta = TimeDelta::minutes(2);

/// The time in which every process follows a step of the database's clock: two measurements of
/// `clock_sync`.
const FOLLOW_TIME: Duration = Duration::from_secs(10);
/// Smaller corrections are the normal work of an NTP client.
pub const NOTABLE_MOVE: TimeDelta = TimeDelta::seconds(1);

/// The present, to the microsecond, which is the precision of Postgres: a time compares equal after
/// it is stored and read. Clones share the time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The zero of the monotonic clock. `None` for a clock that stands still.
    started: Option<Instant>,
    /// Microseconds by which [`Clock::advance`] has moved the clock.
    advanced: AtomicI64,
    /// The time at the zero of the monotonic clock, in microseconds since 1970.
    epoch: AtomicI64,
    reference: Mutex<Option<Reference>>,
    /// When the clock last moved by [`NOTABLE_MOVE`] or more, or its agreement with Stripe's
    /// changed, in microseconds of the monotonic clock. `i64::MIN` if never.
    disturbed: AtomicI64,
}

/// One measurement of the database's clock.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub time: DateTime<Utc>,
    pub answered_at: Instant,
    /// The server read `time` at some moment within this time before `answered_at`.
    pub round_trip: Duration,
}

/// Stripe's time at the zero of the monotonic clock, and when it was received.
#[derive(Clone, Copy, Debug)]
struct Reference {
    /// Bounds in microseconds since 1970: the response took some time, and its `Date` header has
    /// whole seconds.
    earliest: i64,
    latest: i64,
    /// Microseconds of the monotonic clock.
    received: i64,
}

/// Whether the clock agrees with Stripe's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Stripe has not answered since this process started.
    Unknown,
    /// Within [`MAX_SKEW`].
    Agrees,
    /// The clock is ahead of Stripe's by this much (behind if negative).
    Differs(TimeDelta),
}

impl Clock {
    /// A running clock that shows this machine's time until [`Clock::follow`] corrects it.
    pub fn system() -> Self {
        Self::new(Some(Instant::now()), wall_clock())
    }

    /// A clock that stands still at `start` until [`Clock::advance`] moves it.
    pub fn movable(start: DateTime<Utc>) -> Self {
        Self::new(None, start.timestamp_micros())
    }

    fn new(started: Option<Instant>, epoch: i64) -> Self {
        let (advanced, reference) = (AtomicI64::new(0), Mutex::default());
        let disturbed = AtomicI64::new(i64::MIN);
        Self(Arc::new(Shared {
            started,
            advanced,
            epoch: AtomicI64::new(epoch),
            reference,
            disturbed,
        }))
    }

    pub fn now(&self) -> DateTime<Utc> {
        let micros = self.0.epoch.load(Ordering::SeqCst).saturating_add(self.monotonic());
        DateTime::from_timestamp_micros(micros).unwrap_or_default()
    }

    /// Moves the clock forward, for tests and for the demo.
    pub fn advance(&self, by: TimeDelta) {
        self.0.advanced.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the clock by a measurement and returns by how much it moved: zero if the difference is
    /// within the uncertainty of the measurement. A movable clock is not set.
    pub fn follow(&self, measured: Measured) -> TimeDelta {
        let Some(started) = self.0.started else { return TimeDelta::zero() };
        let uncertain = micros(measured.round_trip) / 2;
        let elapsed = micros(measured.answered_at.saturating_duration_since(started));
        let epoch =
            measured.time.timestamp_micros().saturating_add(uncertain).saturating_sub(elapsed);
        let before = self.0.epoch.load(Ordering::SeqCst);
        let moved = epoch.saturating_sub(before);
        if moved.saturating_abs() <= uncertain {
            return TimeDelta::zero();
        }
        let (moved, was_wrong) = (TimeDelta::microseconds(moved), self.is_wrong());
        self.0.epoch.store(epoch, Ordering::SeqCst);
        if moved.abs() >= NOTABLE_MOVE || self.is_wrong() != was_wrong {
            self.disturb();
        }
        moved
    }

    fn disturb(&self) {
        self.0.disturbed.store(self.monotonic(), Ordering::SeqCst);
    }

    /// Whether a lease that has expired by this clock may be taken over. Not within one lease after
    /// the clock moved or its agreement with Stripe's changed, nor, before the first comparison,
    /// after the start: by the end of that time every live holder has renewed its lease by the same
    /// clock.
    pub fn can_judge_leases(&self, lease: Duration) -> bool {
        let (now, wait) = (self.monotonic(), micros(lease + FOLLOW_TIME));
        let since_start = self.agreement() != Agreement::Unknown || now >= wait;
        let disturbed = self.0.disturbed.load(Ordering::SeqCst);
        since_start && (disturbed == i64::MIN || now.saturating_sub(disturbed) >= wait)
    }

    /// How far this machine's wall clock is ahead of this clock.
    pub fn wall_clock_skew(&self) -> TimeDelta {
        let ahead = self.0.advanced.load(Ordering::SeqCst);
        let now = self.now().timestamp_micros();
        TimeDelta::microseconds(wall_clock().saturating_add(ahead).saturating_sub(now))
    }

    /// Stores Stripe's time, in whole seconds, from the response to a request that was sent when
    /// [`Clock::elapsed`] was `sent`.
    pub fn compare(&self, stripe: DateTime<Utc>, sent: TimeDelta) {
        let received = self.monotonic();
        let waited = received.saturating_sub(sent.num_microseconds().unwrap_or(received)).max(0);
        let said = stripe.timestamp_micros();
        // Stripe wrote the date between the request and the response, truncated to a second.
        let earliest = said.saturating_sub(received);
        let latest = said.saturating_add(1_000_000).saturating_add(waited).saturating_sub(received);
        let was_wrong = self.is_wrong();
        *self.reference() = Some(Reference { earliest, latest, received });
        if self.is_wrong() != was_wrong {
            self.disturb();
        }
    }

    /// How far the clock is ahead of Stripe's (behind if negative) by the last response; zero
    /// within its uncertainty. `None` before the first response.
    pub fn skew(&self) -> Option<TimeDelta> {
        self.skew_of(self.0.epoch.load(Ordering::SeqCst))
    }

    fn skew_of(&self, epoch: i64) -> Option<TimeDelta> {
        let reference = (*self.reference())?;
        let nearest = epoch.clamp(reference.earliest, reference.latest.max(reference.earliest));
        Some(TimeDelta::microseconds(epoch.saturating_sub(nearest)))
    }

    pub fn agreement(&self) -> Agreement {
        match self.skew() {
            None => Agreement::Unknown,
            Some(skew) if skew.abs() > MAX_SKEW => Agreement::Differs(skew),
            Some(_) => Agreement::Agrees,
        }
    }

    /// Whether the clock is known to be wrong. Work that depends on the time must then wait.
    pub fn is_wrong(&self) -> bool {
        matches!(self.agreement(), Agreement::Differs(_))
    }

    /// The present, if a response of Stripe that is at most `age` old confirms it.
    pub fn confirmed_now(&self, age: Duration) -> Option<DateTime<Utc>> {
        // Read once for both, so that a concurrent correction cannot slip in between.
        let epoch = self.0.epoch.load(Ordering::SeqCst);
        let received = (*self.reference())?.received;
        let is_recent = self.monotonic().saturating_sub(received) <= micros(age);
        let agrees = self.skew_of(epoch)?.abs() <= MAX_SKEW;
        let now = DateTime::from_timestamp_micros(epoch.saturating_add(self.monotonic()))?;
        (is_recent && agrees).then_some(now)
    }

    /// The time since the clock was created. Corrections do not change it.
    pub fn elapsed(&self) -> TimeDelta {
        TimeDelta::microseconds(self.monotonic())
    }

    fn monotonic(&self) -> i64 {
        let elapsed = self.0.started.map_or(0, |started| micros(started.elapsed()));
        elapsed.saturating_add(self.0.advanced.load(Ordering::SeqCst))
    }

    fn reference(&self) -> MutexGuard<'_, Option<Reference>> {
        self.0.reference.lock()
    }
}

/// Allows something once per interval.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throttle(Option<Instant>);

impl Throttle {
    /// Whether `interval` has passed since this last returned true. True at the first call.
    pub fn is_due(&mut self, interval: Duration, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|last| now.saturating_duration_since(last) >= interval);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the only place that may read the wall clock")]
fn wall_clock() -> i64 {
    Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(time: DateTime<Utc>) -> Measured {
        Measured { time, answered_at: Instant::now(), round_trip: Duration::from_millis(2) }
    }

    #[test]
    fn a_running_clock_shows_the_databases_time_whatever_the_machine_says() {
        let clock = Clock::system();
        for days in [-400, 0, 400] {
            let database =
                DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(days);
            clock.follow(measured(database));
            let shown = clock.now() - database;
            assert!(shown >= TimeDelta::zero() && shown < TimeDelta::seconds(5), "{shown}");
        }
        assert!(
            clock.wall_clock_skew().abs() > TimeDelta::days(300),
            "400 days after 2027 is not now"
        );
    }

    #[test]
    fn a_difference_within_the_round_trip_moves_nothing() {
        let clock = Clock::system();
        let round_trip = Duration::from_secs(10);
        let measured = Measured { time: clock.now(), answered_at: Instant::now(), round_trip };
        assert_eq!(clock.follow(measured), TimeDelta::zero());
    }

    #[test]
    fn the_demo_runs_ahead_of_the_database() {
        let clock = Clock::system();
        clock.advance(TimeDelta::days(30));
        let database = clock.now() - TimeDelta::days(30);
        assert!(clock.follow(measured(database)).abs() < TimeDelta::seconds(5));
        assert!(clock.now() - database >= TimeDelta::days(30));
        assert!(clock.wall_clock_skew().abs() < TimeDelta::seconds(5));
    }

    #[test]
    fn a_jump_of_the_database_shows_before_stripe_answers_again() {
        let clock = Clock::system();
        assert_eq!(clock.agreement(), Agreement::Unknown);
        let now = clock.now();
        clock.compare(now, clock.elapsed());
        assert!(clock.confirmed_now(Duration::from_mins(1)).is_some());

        clock.follow(measured(now + TimeDelta::days(400)));
        let Agreement::Differs(skew) = clock.agreement() else { panic!("{:?}", clock.agreement()) };
        assert!((399..=400).contains(&skew.num_days()), "{skew}");
        assert!(clock.is_wrong() && clock.confirmed_now(Duration::from_mins(1)).is_none());

        clock.follow(measured(now));
        assert_eq!(clock.agreement(), Agreement::Agrees);
    }

    #[test]
    fn two_minutes_are_allowed_and_a_slow_answer_is_no_difference() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Clock::movable(start);
        for (stripe, differs) in [(119, false), (-119, false), (123, true), (-123, true)] {
            clock.compare(start + TimeDelta::seconds(stripe), clock.elapsed());
            assert_eq!(clock.is_wrong(), differs, "{stripe} s");
        }
        // The answer was written when the request arrived, and came ten minutes later.
        let sent = clock.elapsed();
        clock.advance(TimeDelta::minutes(10));
        clock.compare(start, sent);
        assert_eq!(clock.agreement(), Agreement::Agrees);
    }

    #[test]
    fn an_agreement_grows_old() {
        let clock = Clock::movable(DateTime::UNIX_EPOCH);
        clock.compare(clock.now(), clock.elapsed());
        clock.advance(TimeDelta::minutes(61));
        assert_eq!(clock.confirmed_now(Duration::from_hours(1)), None);
        assert_eq!(clock.confirmed_now(Duration::from_mins(62)), Some(clock.now()));
    }

    #[test]
    fn no_lease_is_judged_until_its_holder_could_renew_it_by_the_same_clock() {
        let lease = Duration::from_mins(1);
        let clock = Clock::system();
        assert!(!clock.can_judge_leases(lease), "never compared");
        clock.compare(clock.now(), clock.elapsed());
        assert!(clock.can_judge_leases(lease));
        // Within the bound, and yet longer than a lease.
        clock.follow(measured(clock.now() + TimeDelta::seconds(90)));
        assert!(!clock.is_wrong() && !clock.can_judge_leases(lease));
        clock.advance(TimeDelta::seconds(69));
        assert!(!clock.can_judge_leases(lease), "others may have followed later");
        clock.advance(TimeDelta::seconds(2));
        assert!(clock.can_judge_leases(lease));

        clock.compare(clock.now() + TimeDelta::hours(1), clock.elapsed());
        assert!(clock.is_wrong() && !clock.can_judge_leases(lease));
        clock.advance(TimeDelta::minutes(2));
        clock.compare(clock.now(), clock.elapsed());
        assert!(!clock.is_wrong() && !clock.can_judge_leases(lease), "right again a moment ago");
    }
}
