//! How fast letters may go out: what the relay takes in a second or a minute, and while a sender is new also in a day.
//!
//! All processes on one database share both. Whoever claims letters holds the relay's row while it does, so two of them never count
//! on the same place; and what went out on a day is counted in the letters themselves, so nothing is forgotten by a restart. A letter
//! that has no place is not claimed: it stays where it is, loses no attempt, and first letters go before reminders.
//!
//! A letter takes its turn when a worker takes it up, not when the relay hears of it. Between the two it asks Stripe, so turns that are
//! spread evenly may come a little closer at the relay.

pub mod store;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use parking_lot::Mutex;
use sqlx::PgConnection;

use super::RelayUrl;
use crate::clock::Clock;
use crate::format::locale::start_of_day;
use crate::queue::Capacity;

/// How fast letters may go out. Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Letters that are begun in a second, by all processes together.
    pub max_per_second: u32,
    /// Letters that are begun in a minute, by all processes together.
    pub max_per_minute: u32,
    /// Letters that one process hands over to one receiving domain at once.
    pub max_per_domain: usize,
    /// While the sender is new.
    pub warm_up: Option<WarmUp>,
}

/// Receivers distrust a sender that they have never heard of and that writes much at once. So it begins with few letters a day, and
/// doubles them each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// The first day, in UTC. Before it, each day is like it.
    pub from: NaiveDate,
    /// The letters of that day.
    pub first_day: u32,
}

/// Letters of a day, for the warm-up limit.
#[derive(Clone, Copy, Debug)]
pub struct DayCount {
    pub sent: i64,
    /// Claimed by a worker, and counted as if sent.
    pub in_progress: i64,
}

/// Says how many letters may be begun now. Clones share what was said in the log.
#[derive(Clone, Debug)]
pub struct SendingRate {
    limits: Limits,
    /// As in `relays.relay`.
    relay: String,
    clock: Clock,
    /// The day on which the log says that its letters are out.
    logged_on: Arc<Mutex<Option<NaiveDate>>>,
}

/// Doubled so often, the first letter of a sender has become a million: nobody has to be careful any more.
const DOUBLINGS: i64 = 20;
/// Turns are taken for so long at once. Shorter, and a fast relay would wait for us to count.
const AT_ONCE: TimeDelta = TimeDelta::milliseconds(50);
/// Clocks of several machines differ a little. Where they differ more, `replicas` says so in the log.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(5);

impl Limits {
    /// From one letter to the next where they are spread evenly; none where there is no limit.
    fn gap(&self) -> Option<TimeDelta> {
        let gap = |letters: u32, time: TimeDelta| {
            i32::try_from(letters).ok().and_then(|n| time.checked_div(n))
        };
        gap(self.max_per_second, TimeDelta::seconds(1))
            .max(gap(self.max_per_minute, TimeDelta::minutes(1)))
    }
}

impl WarmUp {
    /// The letters that may go out on a day; none where there is no limit any more.
    pub fn letters_on(&self, day: NaiveDate) -> Option<u32> {
        let days = (day - self.from).num_days().max(0);
        let doublings = u32::try_from(days).ok().filter(|_| days <= DOUBLINGS)?;
        Some(self.first_day.saturating_mul(1 << doublings))
    }
}

impl SendingRate {
    /// A gate for the letters that go to this relay.
    pub fn new(limits: Limits, relay: &RelayUrl, clock: Clock) -> Self {
        Self { limits, relay: relay.to_string(), clock, logged_on: Arc::default() }
    }

    /// Whether it is ever closed.
    pub fn is_limited(&self) -> bool {
        self.limits.gap().is_some() || self.limits.warm_up.is_some()
    }

    /// How many of so many letters may be begun now. Their places are taken with the caller's commit.
    pub async fn capacity<F>(
        &self,
        tx: &mut PgConnection,
        wanted: usize,
        day_count: F,
    ) -> sqlx::Result<Capacity>
    where
        F: AsyncFnOnce(&mut PgConnection, DateTime<Utc>) -> sqlx::Result<DayCount>,
    {
        let now = self.clock.now();
        let next_at = store::hold(&mut *tx, &self.relay, now).await?;
        let wanted = match self.left_today(&mut *tx, now, day_count).await? {
            Some(0) => return Ok(Capacity::RetryAfter(until_tomorrow(now))),
            Some(left) => wanted.min(left),
            None => wanted,
        };
        let Some(gap) = self.limits.gap() else { return Ok(Capacity::Of(wanted)) };
        let turns = turns(gap);
        // Nobody books for longer than this: a clock that was wrong once, or a limit that was narrower, is not waited for.
        let is_booked = next_at > now && next_at <= now + gap * turns + MAX_SKEW;
        if is_booked {
            return Ok(Capacity::RetryAfter((next_at - now).to_std().unwrap_or_default()));
        }
        let turns = turns.min(i32::try_from(wanted).unwrap_or(i32::MAX));
        store::book(tx, &self.relay, now + gap * turns).await?;
        Ok(Capacity::Of(usize::try_from(turns).unwrap_or_default()))
    }

    /// What is left of the day's letters; none where a day has no limit. Those that somebody works on are counted as if sent.
    async fn left_today<F>(
        &self,
        tx: &mut PgConnection,
        now: DateTime<Utc>,
        day_count: F,
    ) -> sqlx::Result<Option<usize>>
    where
        F: AsyncFnOnce(&mut PgConnection, DateTime<Utc>) -> sqlx::Result<DayCount>,
    {
        let today = now.date_naive();
        let Some(letters) = self.limits.warm_up.and_then(|warm_up| warm_up.letters_on(today))
        else {
            return Ok(None);
        };
        let DayCount { sent, in_progress } = day_count(tx, midnight(today)).await?;
        let left = usize::try_from(i64::from(letters) - sent - in_progress).unwrap_or_default();
        if left == 0 && in_progress == 0 {
            self.tell(today, letters);
        }
        Ok(Some(left))
    }

    fn tell(&self, today: NaiveDate, letters: u32) {
        let mut logged_on = self.logged_on.lock();
        if logged_on.replace(today) != Some(today) {
            tracing::info!(
                warm_up.letters = letters,
                "today's letters are out: the others wait for midnight, UTC"
            );
        }
    }
}

/// As many as fall into [`AT_ONCE`], and at least one.
fn turns(gap: TimeDelta) -> i32 {
    let micros = |time: TimeDelta| time.num_microseconds().unwrap_or(i64::MAX).max(1);
    i32::try_from(micros(AT_ONCE) / micros(gap)).unwrap_or(i32::MAX).max(1)
}

/// When a day of the limits begins: in UTC.
pub fn midnight(day: NaiveDate) -> DateTime<Utc> {
    start_of_day(day, Tz::UTC)
}

fn until_tomorrow(now: DateTime<Utc>) -> Duration {
    (midnight(now.date_naive()) + TimeDelta::days(1) - now).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_per_second: u32, max_per_minute: u32) -> Limits {
        Limits { max_per_second, max_per_minute, ..Limits::default() }
    }

    #[test]
    fn of_two_limits_the_narrower_one_holds_and_none_is_none() {
        let micros = |limits: Limits| limits.gap().map(|gap| gap.num_microseconds().unwrap());
        for (per_second, per_minute, gap) in [
            (0, 0, None),
            (14, 0, Some(71_428)),
            (0, 30, Some(2_000_000)),
            (14, 30, Some(2_000_000)),
            (1, 600, Some(1_000_000)),
        ] {
            assert_eq!(micros(limits(per_second, per_minute)), gap, "{per_second}, {per_minute}");
        }
    }

    #[test]
    fn a_relay_that_is_faster_than_we_count_gets_several_letters_at_once() {
        for (per_second, at_once) in [(1, 1), (14, 1), (20, 1), (100, 5), (1000, 50)] {
            assert_eq!(turns(limits(per_second, 0).gap().unwrap()), at_once);
        }
    }

    #[test]
    fn a_sender_that_is_new_doubles_its_letters_each_day_until_nobody_has_to_count() {
        let warm_up = WarmUp { from: "2026-12-01".parse().unwrap(), first_day: 50 };
        for (day, letters) in [
            ("2026-11-20", Some(50)),
            ("2026-12-01", Some(50)),
            ("2026-12-02", Some(100)),
            ("2026-12-11", Some(51_200)),
            ("2026-12-21", Some(52_428_800)),
            ("2026-12-22", None),
        ] {
            assert_eq!(warm_up.letters_on(day.parse().unwrap()), letters, "{day}");
        }
        let huge = WarmUp { first_day: u32::MAX, ..warm_up };
        assert_eq!(huge.letters_on("2026-12-21".parse().unwrap()), Some(u32::MAX));
    }
}
