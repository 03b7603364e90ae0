//! Limits concurrent sessions per receiving domain, and pauses domains that report a rate limit.
//!
//! A letter that finds its domain full or paused gets a time to retry, and blocks no worker that
//! could send to other domains. Retry times are spread by the recent duration of a session with the
//! domain, so that rejected letters do not return all at once. The state is in memory: after a
//! restart it is learned again from the first letters.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::SendError;
use crate::clock::Clock;

/// The domains of this process. Clones share their state.
#[derive(Clone, Debug)]
pub struct DomainLimiter {
    /// Per domain; zero means unlimited.
    max_sessions: usize,
    clock: Clock,
    by_domain: Arc<Mutex<HashMap<String, DomainState>>>,
}

#[derive(Clone, Copy, Debug)]
struct DomainState {
    active_sessions: usize,
    /// Moving average of how long a session takes.
    session_time: TimeDelta,
    /// When the next rejected letter is to retry.
    retry_at: DateTime<Utc>,
    /// Length of the current pause, or of the next one.
    pause: TimeDelta,
    paused_until: DateTime<Utc>,
}

/// Permission for one session with a domain. Dropping it frees the slot.
#[derive(Debug)]
pub struct DomainSlot {
    limiter: DomainLimiter,
    domain: String,
    since: DateTime<Utc>,
}

/// The session time assumed for an unknown domain.
const INITIAL_SESSION_TIME: TimeDelta = TimeDelta::seconds(1);
/// Lower bound, so that rejected letters do not retry all at once.
const MIN_SESSION_TIME: TimeDelta = TimeDelta::milliseconds(100);
/// Upper bound: one hanging session says little about the next.
const MAX_SESSION_TIME: TimeDelta = TimeDelta::seconds(10);
/// Rate limits are usually per minute.
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(1);
/// The latest we notice that a domain accepts letters again.
const MAX_PAUSE: TimeDelta = TimeDelta::minutes(30);

impl DomainState {
    fn new(now: DateTime<Utc>) -> Self {
        Self {
            active_sessions: 0,
            session_time: INITIAL_SESSION_TIME,
            retry_at: now,
            pause: FIRST_PAUSE,
            paused_until: now,
        }
    }

    /// Whether the state equals that of an unknown domain, so that it can be dropped.
    fn is_idle(&self, now: DateTime<Utc>) -> bool {
        self.active_sessions == 0
            && self.retry_at <= now
            && self.paused_until <= now
            && self.pause == FIRST_PAUSE
    }
}

impl DomainLimiter {
    /// Allows `max_sessions` per domain; zero means unlimited.
    pub fn new(max_sessions: usize, clock: Clock) -> Self {
        Self { max_sessions, clock, by_domain: Arc::default() }
    }

    /// Acquires a slot for the domain, or returns when to retry.
    pub fn acquire(&self, domain: &str) -> Result<DomainSlot, DateTime<Utc>> {
        let now = self.clock.now();
        let domain = domain.to_ascii_lowercase();
        let mut states = self.by_domain.lock();
        let state = states.entry(domain.clone()).or_insert_with(|| DomainState::new(now));
        // After the clock was set back, a pause must not outlast its maximum.
        state.paused_until = state.paused_until.min(now + MAX_PAUSE);
        let is_full = self.max_sessions > 0 && state.active_sessions >= self.max_sessions;
        if is_full || state.paused_until > now {
            // Each rejected letter retries one session later than the one before it.
            let parallel = i32::try_from(self.max_sessions.max(1)).unwrap_or(i32::MAX);
            state.retry_at =
                state.retry_at.max(state.paused_until).max(now) + state.session_time / parallel;
            return Err(state.retry_at);
        }
        state.active_sessions += 1;
        Ok(DomainSlot { limiter: self.clone(), domain, since: now })
    }
}

impl DomainSlot {
    /// Records that the letter was accepted, which resets the pause.
    pub fn record_accepted(&self) {
        if let Some(state) = self.limiter.by_domain.lock().get_mut(&self.domain) {
            state.pause = FIRST_PAUSE;
        }
    }

    /// Records a failure. A rate limit pauses the domain, twice as long each time.
    pub fn record_error(&self, error: &SendError) {
        if !matches!(error, SendError::Throttled(_)) {
            return;
        }
        let now = self.limiter.clock.now();
        let mut states = self.limiter.by_domain.lock();
        let Some(state) = states.get_mut(&self.domain) else { return };
        // Sessions that were active when the pause began fail too; they must not double it.
        if state.paused_until > now {
            return;
        }
        state.paused_until = now + state.pause;
        tracing::warn!(
            recipient.domain = self.domain,
            pause.seconds = state.pause.num_seconds(),
            "paused a receiving domain that reported a rate limit"
        );
        state.pause = (state.pause * 2).min(MAX_PAUSE);
    }
}

impl Drop for DomainSlot {
    fn drop(&mut self) {
        let now = self.limiter.clock.now();
        let mut states = self.limiter.by_domain.lock();
        let Some(state) = states.get_mut(&self.domain) else { return };
        state.active_sessions = state.active_sessions.saturating_sub(1);
        state.session_time = ((state.session_time * 3 + (now - self.since)) / 4)
            .clamp(MIN_SESSION_TIME, MAX_SESSION_TIME);
        // Otherwise the map would grow with every domain ever written to.
        if state.is_idle(now) {
            states.remove(&self.domain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(max_sessions: usize) -> (DomainLimiter, Clock) {
        let clock = Clock::movable(DateTime::UNIX_EPOCH);
        (DomainLimiter::new(max_sessions, clock.clone()), clock)
    }

    fn throttled() -> SendError {
        SendError::Throttled("450 4.7.28".to_owned())
    }

    /// Milliseconds until a rejected letter is to retry.
    fn retry_in(limiter: &DomainLimiter, domain: &str) -> i64 {
        (limiter.acquire(domain).unwrap_err() - limiter.clock.now()).num_milliseconds()
    }

    #[test]
    fn a_full_domain_spreads_retries_and_affects_no_other() {
        let (limiter, _) = limiter(2);
        let (one, _two) =
            (limiter.acquire("slow.example").unwrap(), limiter.acquire("SLOW.example").unwrap());
        assert_eq!([(); 3].map(|()| retry_in(&limiter, "slow.example")), [500, 1000, 1500]);
        assert!(limiter.acquire("other.example").is_ok());
        drop(one);
        assert!(limiter.acquire("slow.example").is_ok());
    }

    #[test]
    fn retries_are_spaced_by_the_session_time() {
        let (limiter, clock) = limiter(2);
        let _one = limiter.acquire("slow.example").unwrap();
        for _ in 0..20 {
            let _other = limiter.acquire("slow.example").unwrap();
            clock.advance(TimeDelta::seconds(5));
        }
        let _other = limiter.acquire("slow.example").unwrap();
        let (first, second) =
            (retry_in(&limiter, "slow.example"), retry_in(&limiter, "slow.example"));
        assert!(
            (2450..=2500).contains(&first),
            "half a session time, because two run in parallel: {first}"
        );
        assert!((2450..=2500).contains(&(second - first)), "{first}, {second}");
    }

    #[test]
    fn without_a_limit_nothing_is_rejected_or_stored() {
        let (limiter, _) = limiter(0);
        let slots: Vec<_> = (0..1000).map(|_| limiter.acquire("busy.example").unwrap()).collect();
        drop(slots);
        assert!(limiter.by_domain.lock().is_empty());
    }

    #[test]
    fn pauses_double_until_a_letter_is_accepted() {
        let (limiter, clock) = limiter(0);
        for minutes in [1, 2, 4, 8, 16, 30, 30] {
            let (slot, other) = (
                limiter.acquire("full.example").unwrap(),
                limiter.acquire("full.example").unwrap(),
            );
            slot.record_error(&SendError::Deferred("452 4.2.2 mailbox full".to_owned()));
            assert!(limiter.acquire("full.example").is_ok(), "one mailbox pauses no domain");
            slot.record_error(&throttled());
            other.record_error(&throttled());
            assert!(retry_in(&limiter, "full.example") > minutes * 60_000);
            clock.advance(TimeDelta::minutes(minutes));
        }
        limiter.acquire("full.example").unwrap().record_accepted();
        let slot = limiter.acquire("full.example").unwrap();
        slot.record_error(&throttled());
        clock.advance(TimeDelta::minutes(1));
        assert!(limiter.acquire("full.example").is_ok());
        slot.record_accepted();
        clock.advance(TimeDelta::minutes(1));
        drop(slot);
        assert!(limiter.by_domain.lock().is_empty());
    }
}
