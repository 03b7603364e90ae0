//! Leaves alone what is down: after some failures in a row nothing is begun but one probe at a time, ever more seldom.
//!
//! ```text
//! closed ──failures in a row──▶ open ──pause over──▶ probing ──success──▶ closed
//!                                ▲                      └──failure──▶ open, the pause doubled
//! ```
//!
//! Each process has its own circuit for Stripe and for the relay. What fails while one is open costs a job no attempt: an outage
//! of the other side is no fault of the job's.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::{Mutex, MutexGuard};

use crate::clock::Clock;

/// One outside party, as this process sees it. Clones are the same.
#[derive(Clone, Debug)]
pub struct Circuit {
    /// As in the log: `stripe`, `relay`.
    name: &'static str,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Failures since the last success.
    failures: u32,
    /// How long it was, or will next be, left alone.
    pause: Duration,
    /// Probes so far: each has a number of its own.
    probes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: DateTime<Utc> },
    Probing { since: DateTime<Utc>, number: u64 },
}

/// What may be begun.
#[derive(Debug)]
pub enum Admission {
    /// Anything.
    All,
    /// One attempt, to see whether the other side is back. It is to hold this until it ends.
    OneProbe(Probe),
    /// Nothing for so long.
    RetryAfter(Duration),
}

/// The right to make the one attempt. Where it came to no conclusion, dropping it lets another be made at once.
#[derive(Debug)]
pub struct Probe {
    circuit: Circuit,
    number: u64,
}

impl Drop for Probe {
    fn drop(&mut self) {
        let now = self.circuit.clock.now();
        let mut state = self.circuit.state();
        if matches!(state.phase, Phase::Probing { number, .. } if number == self.number) {
            state.phase = Phase::Open { until: now };
        }
    }
}

/// One failure says little; some in a row, with no success between them, say enough.
const FAILURES: u32 = 5;
/// A restart of the other side takes about this long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How late we may notice that the other side is back.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A probe that hangs must not keep the circuit open for ever.
const MAX_PROBE: TimeDelta = TimeDelta::minutes(1);
/// How soon to ask again while somebody else probes.
const WHILE_PROBING: Duration = Duration::from_millis(200);

impl Circuit {
    /// A circuit that is closed.
    pub fn new(name: &'static str, clock: Clock) -> Self {
        let state = State { phase: Phase::Closed, failures: 0, pause: FIRST_PAUSE, probes: 0 };
        Self { name, clock, state: Arc::new(Mutex::new(state)) }
    }

    /// Whom it is about: `stripe`, `relay`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What may be begun now. One caller gets the probe; the others wait for what comes of it.
    pub fn admission(&self) -> Admission {
        let now = self.clock.now();
        let mut state = self.state();
        match state.phase {
            Phase::Closed => Admission::All,
            Phase::Open { until } if now < until => {
                // A clock that was set back must not keep the circuit open.
                let pause = (until - now).to_std().unwrap_or_default().min(MAX_PAUSE);
                state.phase = Phase::Open { until: now + pause };
                Admission::RetryAfter(pause)
            }
            Phase::Probing { since, .. } if (now - since).abs() < MAX_PROBE => {
                Admission::RetryAfter(WHILE_PROBING)
            }
            Phase::Open { .. } | Phase::Probing { .. } => {
                state.probes += 1;
                let number = state.probes;
                state.phase = Phase::Probing { since: now, number };
                Admission::OneProbe(Probe { circuit: self.clone(), number })
            }
        }
    }

    /// Whether the other side is taken to be down.
    pub fn is_open(&self) -> bool {
        !matches!(self.state().phase, Phase::Closed)
    }

    /// The other side did its work, or refused it with a reason: it is there.
    pub fn succeeded(&self) {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Closed) {
            tracing::info!(circuit = self.name, "the other side is back");
        }
        (state.phase, state.failures, state.pause) = (Phase::Closed, 0, FIRST_PAUSE);
    }

    /// The other side did not answer, or said that it cannot work.
    pub fn failed(&self) {
        self.fail(1);
    }

    /// The other side said what holds for everybody, such as that our key is wrong.
    pub fn failed_for_all(&self) {
        self.fail(FAILURES);
    }

    fn fail(&self, weight: u32) {
        let now = self.clock.now();
        let mut state = self.state();
        state.failures = state.failures.saturating_add(weight);
        let opens = match state.phase {
            Phase::Closed => state.failures >= FAILURES,
            // Those that were under way when it opened fail too, which says nothing new.
            Phase::Open { .. } => false,
            Phase::Probing { .. } => true,
        };
        if opens {
            let pause = state.pause;
            state.phase = Phase::Open { until: now + pause };
            state.pause = (pause * 2).min(MAX_PAUSE);
            tracing::warn!(
                circuit = self.name,
                pause.seconds = pause.as_secs(),
                "the other side is down: nothing is begun but probes"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit() -> (Circuit, Clock) {
        let clock = Clock::movable(DateTime::UNIX_EPOCH);
        (Circuit::new("test", clock.clone()), clock)
    }

    fn opened() -> (Circuit, Clock) {
        let (circuit, clock) = circuit();
        for _ in 0..FAILURES {
            circuit.failed();
        }
        expect_nothing_for(&circuit, FIRST_PAUSE);
        (circuit, clock)
    }

    fn expect_nothing_for(circuit: &Circuit, pause: Duration) {
        let admits = circuit.admission();
        assert!(
            matches!(admits, Admission::RetryAfter(found) if found == pause),
            "{admits:?}, not {pause:?}"
        );
    }

    fn expect_probe(circuit: &Circuit) -> Probe {
        match circuit.admission() {
            Admission::OneProbe(probe) => probe,
            other @ (Admission::All | Admission::RetryAfter(_)) => panic!("{other:?}, not a probe"),
        }
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (circuit, _) = circuit();
        for _ in 0..100 {
            for _ in 1..FAILURES {
                circuit.failed();
            }
            circuit.succeeded();
        }
        assert!(matches!(circuit.admission(), Admission::All));
    }

    #[test]
    fn one_probe_is_let_through_and_decides() {
        let (circuit, clock) = opened();
        clock.advance(TimeDelta::seconds(1));
        let probe = expect_probe(&circuit);
        // Somebody else, at the same time.
        expect_nothing_for(&circuit, WHILE_PROBING);
        circuit.failed();
        drop(probe);
        expect_nothing_for(&circuit, FIRST_PAUSE * 2);
        clock.advance(TimeDelta::seconds(2));
        let probe = expect_probe(&circuit);
        circuit.succeeded();
        drop(probe);
        assert!(matches!(circuit.admission(), Admission::All));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let (circuit, clock) = opened();
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            expect_nothing_for(&circuit, Duration::from_secs(pause));
            clock.advance(TimeDelta::seconds(i64::try_from(pause).unwrap()));
            let _probe = expect_probe(&circuit);
            circuit.failed();
        }
        circuit.succeeded();
        circuit.failed_for_all();
        expect_nothing_for(&circuit, FIRST_PAUSE);
    }

    #[test]
    fn a_probe_that_found_nothing_to_do_or_hangs_makes_room_for_another_and_for_no_more() {
        let (circuit, clock) = opened();
        clock.advance(TimeDelta::seconds(1));
        drop(expect_probe(&circuit));
        let hangs = expect_probe(&circuit);
        clock.advance(MAX_PROBE);
        let _second = expect_probe(&circuit);
        drop(hangs);
        expect_nothing_for(&circuit, WHILE_PROBING);
        assert!(circuit.is_open());
    }
}
