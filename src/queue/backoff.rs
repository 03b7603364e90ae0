//! Exponential backoff with jitter.

use std::time::Duration;

/// After the first attempt: long enough for a relay's connection limit to reset, short enough to
/// wait for at a terminal.
const FIRST: Duration = Duration::from_secs(2);
/// Greylisting takes minutes and outages last hours, so shorter pauses gain nothing.
const LONGEST: Duration = Duration::from_hours(1);

/// The pause after attempt number `attempt` (from 1) failed: doubles each time, up to an hour.
/// `spread` in `0.0..1.0` shortens it by up to half, so that jobs that failed together are not
/// retried together.
pub fn delay(attempt: i32, spread: f64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(31);
    let full = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    full.mul_f64(1.0 - spread.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_pause_doubles_and_ends_at_an_hour() {
        let pauses: Vec<_> =
            [1, 2, 3, 11, 12, 13, 60].map(|attempt| delay(attempt, 0.0).as_secs()).into();
        assert_eq!(pauses, [2, 4, 8, 2048, 3600, 3600, 3600]);
    }

    proptest! {
        #[test]
        fn the_spread_takes_at_most_half(attempt in any::<i32>(), spread in 0.0..1.0f64) {
            let whole = delay(attempt, 0.0);
            let pause = delay(attempt, spread);
            prop_assert!(pause <= whole && pause >= whole / 2);
        }
    }
}
