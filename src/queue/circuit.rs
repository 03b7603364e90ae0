//! Circuit breaker: after consecutive failures, admits one probe at a time, at growing intervals.
//!
//! ```text
//! closed ──failures in a row──▶ open ──pause over──▶ probing ──success──▶ closed
//!                                ▲                      └──failure──▶ open, the pause doubled
//! ```
//!
//! Each process has one circuit for Stripe and one for the relay. A job that fails while a circuit
//! it depends on is open loses no attempt, because an outage is not the job's fault.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::clock::Clock;

/// The state of one remote system, as this process sees it. Clones share the state.
#[derive(Clone, Debug)]
pub struct Circuit {
    /// The field `circuit` in the log: `stripe` or `relay`.
    name: &'static str,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Failures since the last success.
    failures: u32,
    /// The next pause, or the current one while the circuit is open.
    pause: Duration,
    /// Number of probes so far. Identifies a probe.
    probes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: DateTime<Utc> },
    Probing { since: DateTime<Utc>, number: u64 },
}

/// What may start now.
#[derive(Debug)]
pub enum Admission {
    /// Any number of attempts.
    All,
    /// One attempt, to test whether the remote system is back. It holds the probe until it ends.
    OneProbe(Probe),
    /// None before this much time has passed.
    RetryAfter(Duration),
}

/// Permission for one attempt. Dropped without a result, it allows another probe immediately.
#[derive(Debug)]
pub struct Probe {
    circuit: Circuit,
    number: u64,
}

impl Drop for Probe {
    fn drop(&mut self) {
        let now = self.circuit.clock.now();
        let mut state = self.circuit.state.lock();
        // The number tells this probe from a later one, which replaced it after `MAX_PROBE`.
        if matches!(state.phase, Phase::Probing { number, .. } if number == self.number) {
            state.phase = Phase::Open { until: now };
        }
    }
}

/// Consecutive failures that open the circuit.
const FAILURES: u32 = 5;
/// About the time a remote system takes to restart.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest delay before a recovery is noticed.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A probe that hangs must not keep the circuit open forever.
const MAX_PROBE: TimeDelta = TimeDelta::minutes(1);
/// The pause of other attempts while a probe is under way.
const WHILE_PROBING: Duration = Duration::from_millis(200);

impl Circuit {
    /// Starts closed.
    pub fn new(name: &'static str, clock: Clock) -> Self {
        let state = State { phase: Phase::Closed, failures: 0, pause: FIRST_PAUSE, probes: 0 };
        Self { name, clock, state: Arc::new(Mutex::new(state)) }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What may start now. One caller gets the probe; the others wait for its result.
    pub fn admission(&self) -> Admission {
        let now = self.clock.now();
        let mut state = self.state.lock();
        match state.phase {
            Phase::Closed => Admission::All,
            Phase::Open { until } if now < until => {
                // A clock that was set back must not extend the pause.
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

    /// Whether the remote system is considered down.
    pub fn is_open(&self) -> bool {
        !matches!(self.state.lock().phase, Phase::Closed)
    }

    /// Records that the remote system answered: it did the work or refused it for a reason.
    pub fn succeeded(&self) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Closed) {
            tracing::info!(circuit = self.name, "{} is back", self.name);
        }
        (state.phase, state.failures, state.pause) = (Phase::Closed, 0, FIRST_PAUSE);
    }

    /// Records that the remote system did not answer or reported an outage.
    pub fn failed(&self) {
        self.fail(1, "is unavailable");
    }

    /// Records a failure that would affect every call, such as an invalid key. Opens the circuit.
    pub fn failed_for_all(&self) {
        self.fail(FAILURES, "refuses every call");
    }

    fn fail(&self, weight: u32, problem: &str) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(weight);
        let opens = match state.phase {
            Phase::Closed => state.failures >= FAILURES,
            // Attempts that were under way when the circuit opened fail too and prove nothing new.
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
                "{} {problem}: pausing, next probe in {} s",
                self.name,
                pause.as_secs()
            );
        }
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
    fn one_probe_is_admitted_and_decides() {
        let (circuit, clock) = opened();
        clock.advance(TimeDelta::seconds(1));
        let probe = expect_probe(&circuit);
        // A concurrent attempt.
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
    fn pauses_double_to_the_maximum_and_restart_after_success() {
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
    fn an_idle_or_hanging_probe_is_replaced_by_one_other() {
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
