//! Keeps our calls below Stripe's rate limit (<https://docs.stripe.com/rate-limits>) instead of running into it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Hands out starting times that are at least `1 / per_second` apart.
#[derive(Debug)]
pub(super) struct Pace {
    gap: Duration,
    /// When the next call may start.
    next: Mutex<Instant>,
}

impl Pace {
    /// `per_second` is above zero: the settings are checked.
    pub(super) fn new(per_second: u32) -> Self {
        Self { gap: Duration::from_secs(1) / per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits until it is this call's turn. Calls start in the order in which they asked.
    pub(super) async fn turn(&self) {
        let start = self.book(Instant::now());
        tokio::time::sleep_until(start.into()).await;
    }

    fn book(&self, now: Instant) -> Instant {
        // A poisoned lock guards a single instant, which is always whole.
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let start = (*next).max(now);
        *next = start + self.gap;
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spread_and_a_pause_is_not_saved_up() {
        let pace = Pace::new(10);
        let begin = Instant::now() + Duration::from_secs(1);
        let starts: Vec<_> = (0..3).map(|_| pace.book(begin) - begin).collect();
        assert_eq!(starts, [0, 100, 200].map(Duration::from_millis));

        let later = begin + Duration::from_mins(1);
        assert_eq!(pace.book(later), later);
        assert_eq!(pace.book(later), later + Duration::from_millis(100));
    }
}
