//! Limits how many letters are sent per second and minute, and per day while a sender is new.
//!
//! All processes on one database share the limits. A claim locks the relay's row, so two processes
//! never reserve the same capacity. The daily count is taken from the letters themselves, so a
//! restart forgets nothing. A letter without capacity is not claimed: it keeps its attempts, and
//! first letters still go before reminders.
//!
//! Capacity is reserved when a worker claims a letter, not when the relay receives it. The worker
//! asks Stripe in between, so evenly spaced reservations may reach the relay slightly closer
//! together.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use parking_lot::Mutex;
use sqlx::{PgConnection, PgExecutor};

use super::RelayUrl;
use crate::clock::Clock;
use crate::format::locale::start_of_day;
use crate::queue::Capacity;

/// Sending limits. Zero means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendingLimits {
    /// Letters started per second, by all processes together.
    pub max_per_second: u32,
    /// Letters started per minute, by all processes together.
    pub max_per_minute: u32,
    /// Concurrent sessions of one process with one receiving domain.
    pub max_per_domain: usize,
    pub warm_up: Option<WarmUp>,
}

/// Receivers distrust an unknown sender with a high volume, so a new sender starts with few letters
/// a day and doubles them daily.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// The first day, in UTC. Earlier days have the same limit.
    pub from: NaiveDate,
    /// Letters on the first day.
    pub first_day: u32,
}

/// Letters of a day, for the warm-up limit.
#[derive(Clone, Copy, Debug)]
pub struct DayCount {
    pub sent: i64,
    /// Claimed by a worker, and counted as if sent.
    pub in_progress: i64,
}

/// Decides how many letters may start now. Clones share what was already logged.
#[derive(Clone, Debug)]
pub struct SendingRate {
    limits: SendingLimits,
    /// As in `relays.relay`.
    relay: String,
    clock: Clock,
    /// The day whose exhausted limit was logged.
    logged_on: Arc<Mutex<Option<NaiveDate>>>,
}

/// Warm-up ends after this many doublings: one letter a day has become a million.
const DOUBLINGS: i64 = 20;
/// Capacity is reserved in batches of this length. Shorter ones would slow down a fast relay.
const BATCH: TimeDelta = TimeDelta::milliseconds(50);
/// Tolerated difference between the clocks of several machines. `replicas` logs larger ones.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(5);

impl SendingLimits {
    /// The interval between evenly spaced letters; `None` if unlimited.
    fn interval(&self) -> Option<TimeDelta> {
        let interval = |letters: u32, time: TimeDelta| {
            i32::try_from(letters).ok().and_then(|n| time.checked_div(n))
        };
        interval(self.max_per_second, TimeDelta::seconds(1))
            .max(interval(self.max_per_minute, TimeDelta::minutes(1)))
    }
}

impl WarmUp {
    /// The limit of a day; `None` once warm-up is over.
    pub fn letters_on(&self, day: NaiveDate) -> Option<u32> {
        let days = (day - self.from).num_days().max(0);
        let doublings = u32::try_from(days).ok().filter(|_| days <= DOUBLINGS)?;
        Some(self.first_day.saturating_mul(1 << doublings))
    }
}

impl SendingRate {
    pub fn new(limits: SendingLimits, relay: &RelayUrl, clock: Clock) -> Self {
        Self { limits, relay: relay.to_string(), clock, logged_on: Arc::default() }
    }

    pub fn is_limited(&self) -> bool {
        self.limits.interval().is_some() || self.limits.warm_up.is_some()
    }

    /// How many of the requested letters may start now. The reservation takes effect with the
    /// caller's commit.
    pub async fn capacity<F>(
        &self,
        tx: &mut PgConnection,
        requested: usize,
        day_count: F,
    ) -> sqlx::Result<Capacity>
    where
        F: AsyncFnOnce(&mut PgConnection, DateTime<Utc>) -> sqlx::Result<DayCount>,
    {
        let now = self.clock.now();
        // The lock comes before the daily count: otherwise two processes could both count the same
        // remainder.
        let next_at = lock_relay(&mut *tx, &self.relay, now).await?;
        let requested = match self.left_today(&mut *tx, now, day_count).await? {
            Some(0) => return Ok(Capacity::RetryAfter(until_tomorrow(now))),
            Some(left) => requested.min(left),
            None => requested,
        };
        let Some(interval) = self.limits.interval() else { return Ok(Capacity::Of(requested)) };
        let batch = batch_size(interval);
        // No reservation is longer than one batch. A later `next_at` stems from a wrong clock or an
        // earlier, stricter limit, and is ignored.
        let is_reserved = next_at > now && next_at <= now + interval * batch + MAX_SKEW;
        if is_reserved {
            return Ok(Capacity::RetryAfter((next_at - now).to_std().unwrap_or_default()));
        }
        let granted = batch.min(i32::try_from(requested).unwrap_or(i32::MAX));
        reserve_until(tx, &self.relay, now + interval * granted).await?;
        Ok(Capacity::Of(usize::try_from(granted).unwrap_or_default()))
    }

    /// What is left of the daily limit; `None` if there is none. Claimed letters count as sent.
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
        let DayCount { sent, in_progress } = day_count(tx, start_of_day(today, Tz::UTC)).await?;
        let left = usize::try_from(i64::from(letters) - sent - in_progress).unwrap_or_default();
        // A claimed letter may still fail and return its share, so the day is not over yet.
        if left == 0 && in_progress == 0 {
            self.log_exhausted(today, letters);
        }
        Ok(Some(left))
    }

    fn log_exhausted(&self, today: NaiveDate, letters: u32) {
        let mut logged_on = self.logged_on.lock();
        if logged_on.replace(today) != Some(today) {
            tracing::info!(
                warm_up.letters = letters,
                "daily warm-up limit reached: remaining letters wait until midnight UTC"
            );
        }
    }
}

/// The letters in one [`BATCH`], at least one.
fn batch_size(interval: TimeDelta) -> i32 {
    let micros = |time: TimeDelta| time.num_microseconds().unwrap_or(i64::MAX).max(1);
    i32::try_from(micros(BATCH) / micros(interval)).unwrap_or(i32::MAX).max(1)
}

fn until_tomorrow(now: DateTime<Utc>) -> Duration {
    let today = start_of_day(now.date_naive(), Tz::UTC);
    (today + TimeDelta::days(1) - now).to_std().unwrap_or_default()
}

/// Locks the relay's row until the transaction ends. Returns when its next letter may start.
async fn lock_relay(
    tx: &mut PgConnection,
    relay: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query!(
        "insert into relays (relay, next_send_at) values ($1, $2) on conflict (relay) do nothing",
        relay,
        now,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query_scalar!("select next_send_at from relays where relay = $1 for update", relay)
        .fetch_one(tx)
        .await
}

async fn reserve_until(
    db: impl PgExecutor<'_>,
    relay: &str,
    next_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!("update relays set next_send_at = $2 where relay = $1", relay, next_at)
        .execute(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_per_second: u32, max_per_minute: u32) -> SendingLimits {
        SendingLimits { max_per_second, max_per_minute, ..SendingLimits::default() }
    }

    #[test]
    fn the_stricter_of_two_limits_applies() {
        let micros = |limits: SendingLimits| {
            limits.interval().map(|interval| interval.num_microseconds().unwrap())
        };
        for (per_second, per_minute, interval) in [
            (0, 0, None),
            (14, 0, Some(71_428)),
            (0, 30, Some(2_000_000)),
            (14, 30, Some(2_000_000)),
            (1, 600, Some(1_000_000)),
        ] {
            assert_eq!(
                micros(limits(per_second, per_minute)),
                interval,
                "{per_second}, {per_minute}"
            );
        }
    }

    #[test]
    fn a_fast_relay_gets_letters_in_batches() {
        for (per_second, batch) in [(1, 1), (14, 1), (20, 1), (100, 5), (1000, 50)] {
            assert_eq!(batch_size(limits(per_second, 0).interval().unwrap()), batch);
        }
    }

    #[test]
    fn warm_up_doubles_daily_and_ends_after_twenty_days() {
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
