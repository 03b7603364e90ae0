//! Receiving domains, a lane for each: how many letters go to one of them at once, and which one is left alone because it said that it
//! takes no more for now.
//!
//! Whoever finds a lane full is told when to come back, and keeps no worker from letters to other domains meanwhile. Turned away one
//! after the other, letters come back one after the other, as far apart as talks with that domain have taken lately: none asks again
//! and again. DomainLimiter are in memory: a restart forgets them and finds out with its next letter.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::{Mutex, MutexGuard};

use super::SendError;
use crate::clock::Clock;

/// The domains of this process. Clones are the same.
#[derive(Clone, Debug)]
pub struct DomainLimiter {
    /// Letters to one domain at once; zero is no limit.
    most: usize,
    clock: Clock,
    by_domain: Arc<Mutex<HashMap<String, DomainState>>>,
}

#[derive(Clone, Copy, Debug)]
struct DomainState {
    /// Letters that are on their way.
    busy: usize,
    /// How long a talk takes, of late.
    talk: TimeDelta,
    /// When the next one that finds the lane full is to come back.
    next_at: DateTime<Utc>,
    /// How long it is, or will next be, left alone.
    pause: TimeDelta,
    /// Nothing is begun before.
    closed_until: DateTime<Utc>,
}

/// A letter's place in a lane, until it is dropped.
#[derive(Debug)]
pub struct DomainSlot {
    domains: DomainLimiter,
    domain: String,
    since: DateTime<Utc>,
}

/// What a talk takes where nobody knows.
const TALK: TimeDelta = TimeDelta::seconds(1);
/// No talk is taken to be quicker: letters that were turned away are not to come back all at once.
const MIN_TALK: TimeDelta = TimeDelta::milliseconds(100);
/// Nor slower: one that hangs says little about the next.
const MAX_TALK: TimeDelta = TimeDelta::seconds(10);
/// Rate limits are counted by the minute.
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(1);
/// How late we may notice that a domain takes letters again.
const MAX_PAUSE: TimeDelta = TimeDelta::minutes(30);

impl DomainState {
    fn new(now: DateTime<Utc>) -> Self {
        Self { busy: 0, talk: TALK, next_at: now, pause: FIRST_PAUSE, closed_until: now }
    }

    /// Nothing is worth remembering.
    fn is_idle(&self, now: DateTime<Utc>) -> bool {
        self.busy == 0
            && self.next_at <= now
            && self.closed_until <= now
            && self.pause == FIRST_PAUSE
    }
}

impl DomainLimiter {
    /// DomainLimiter for so many letters each; zero is no limit.
    pub fn new(most: usize, clock: Clock) -> Self {
        Self { most, clock, by_domain: Arc::default() }
    }

    /// Takes a place in a domain's lane, or says when to come back.
    pub fn enter(&self, domain: &str) -> Result<DomainSlot, DateTime<Utc>> {
        let now = self.clock.now();
        let domain = domain.to_ascii_lowercase();
        let mut domains = self.by_domain();
        let lane = domains.entry(domain.clone()).or_insert_with(|| DomainState::new(now));
        // A clock that was set back must not keep a domain closed.
        lane.closed_until = lane.closed_until.min(now + MAX_PAUSE);
        let is_full = self.most > 0 && lane.busy >= self.most;
        if is_full || lane.closed_until > now {
            let at_once = i32::try_from(self.most.max(1)).unwrap_or(i32::MAX);
            lane.next_at = lane.next_at.max(lane.closed_until).max(now) + lane.talk / at_once;
            return Err(lane.next_at);
        }
        lane.busy += 1;
        Ok(DomainSlot { domains: self.clone(), domain, since: now })
    }

    fn by_domain(&self) -> MutexGuard<'_, HashMap<String, DomainState>> {
        self.by_domain.lock()
    }
}

impl DomainSlot {
    /// The letter was taken: the lane is open.
    pub fn was_taken(&self) {
        if let Some(lane) = self.domains.by_domain().get_mut(&self.domain) {
            lane.pause = FIRST_PAUSE;
        }
    }

    /// The letter was not taken. Where that is because there were too many, the lane is closed for a while.
    pub fn was_refused(&self, error: &SendError) {
        if !matches!(error, SendError::TooFast(_)) {
            return;
        }
        let now = self.domains.clock.now();
        let mut domains = self.domains.by_domain();
        let Some(lane) = domains.get_mut(&self.domain) else { return };
        // Those that were on their way when it closed are refused too, which says nothing new.
        if lane.closed_until > now {
            return;
        }
        lane.closed_until = now + lane.pause;
        tracing::warn!(
            recipient.domain = self.domain,
            pause.seconds = lane.pause.num_seconds(),
            "a domain takes no more letters for now: it is left alone"
        );
        lane.pause = (lane.pause * 2).min(MAX_PAUSE);
    }
}

impl Drop for DomainSlot {
    fn drop(&mut self) {
        let now = self.domains.clock.now();
        let mut domains = self.domains.by_domain();
        let Some(lane) = domains.get_mut(&self.domain) else { return };
        lane.busy = lane.busy.saturating_sub(1);
        lane.talk = ((lane.talk * 3 + (now - self.since)) / 4).clamp(MIN_TALK, MAX_TALK);
        if lane.is_idle(now) {
            domains.remove(&self.domain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(most: usize) -> (DomainLimiter, Clock) {
        let clock = Clock::movable(DateTime::UNIX_EPOCH);
        (DomainLimiter::new(most, clock.clone()), clock)
    }

    fn too_fast() -> SendError {
        SendError::TooFast("450 4.7.28".to_owned())
    }

    /// Milliseconds from now until a letter that is turned away is to come back.
    fn turned_away(domains: &DomainLimiter, domain: &str) -> i64 {
        (domains.enter(domain).unwrap_err() - domains.clock.now()).num_milliseconds()
    }

    #[test]
    fn a_full_lane_turns_away_one_after_the_other_and_no_other_lane_minds() {
        let (domains, _) = domains(2);
        let (one, _two) =
            (domains.enter("slow.example").unwrap(), domains.enter("SLOW.example").unwrap());
        assert_eq!([(); 3].map(|()| turned_away(&domains, "slow.example")), [500, 1000, 1500]);
        assert!(domains.enter("other.example").is_ok());
        drop(one);
        assert!(domains.enter("slow.example").is_ok());
    }

    #[test]
    fn letters_come_back_as_far_apart_as_talks_take() {
        let (domains, clock) = domains(2);
        let _one = domains.enter("slow.example").unwrap();
        for _ in 0..20 {
            let _other = domains.enter("slow.example").unwrap();
            clock.advance(TimeDelta::seconds(5));
        }
        let _other = domains.enter("slow.example").unwrap();
        let (first, second) =
            (turned_away(&domains, "slow.example"), turned_away(&domains, "slow.example"));
        assert!(
            (2450..=2500).contains(&first),
            "half of a talk, as there are two at once: {first}"
        );
        assert!((2450..=2500).contains(&(second - first)), "{first}, {second}");
    }

    #[test]
    fn without_a_limit_nobody_is_turned_away_and_nothing_is_remembered() {
        let (domains, _) = domains(0);
        let places: Vec<_> = (0..1000).map(|_| domains.enter("busy.example").unwrap()).collect();
        drop(places);
        assert!(domains.by_domain().is_empty());
    }

    #[test]
    fn a_domain_that_takes_no_more_is_left_alone_ever_longer_until_it_takes_one() {
        let (domains, clock) = domains(0);
        for minutes in [1, 2, 4, 8, 16, 30, 30] {
            let (place, other) =
                (domains.enter("full.example").unwrap(), domains.enter("full.example").unwrap());
            place.was_refused(&SendError::Deferred("452 4.2.2 mailbox full".to_owned()));
            assert!(domains.enter("full.example").is_ok(), "that was about one mailbox");
            place.was_refused(&too_fast());
            other.was_refused(&too_fast());
            assert!(turned_away(&domains, "full.example") > minutes * 60_000);
            clock.advance(TimeDelta::minutes(minutes));
        }
        domains.enter("full.example").unwrap().was_taken();
        let place = domains.enter("full.example").unwrap();
        place.was_refused(&too_fast());
        clock.advance(TimeDelta::minutes(1));
        assert!(domains.enter("full.example").is_ok());
        place.was_taken();
        clock.advance(TimeDelta::minutes(1));
        drop(place);
        assert!(domains.by_domain().is_empty());
    }
}
