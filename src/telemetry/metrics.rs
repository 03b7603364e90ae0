//! Metric families over `prometheus_client`: counters and histograms whose labels are fixed when
//! they are created. Each part of the service owns its families and names them; `web/ops/metrics.rs`
//! exports them.
//!
//! There is no global registry: each [`Registry`] belongs to one `App`, and tests start many.
//! A label's values must be a closed set: never an id, an address or a text from outside.

use std::borrow::Cow;
use std::time::Duration;

use prometheus_client::metrics::family::{Family, MetricConstructor};

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::histogram::Histogram;
pub use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// Counters that differ in the values of `N` labels. Clones share them.
#[derive(Clone, Debug)]
pub struct Counters<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Counter>,
}

impl<const N: usize> Counters<N> {
    pub fn new(names: [&'static str; N]) -> Self {
        Self { names, family: Family::default() }
    }

    /// Exports these counters from the start, as 0: the increase of a counter that appears with its
    /// first event is not seen.
    #[must_use]
    pub fn with(self, all: impl IntoIterator<Item = [&'static str; N]>) -> Self {
        for values in all {
            self.counter(values);
        }
        self
    }

    /// The counter itself, for code that runs thousands of times per second.
    pub fn counter(&self, values: [&'static str; N]) -> Counter {
        self.family.get_or_create_owned(&labels(self.names, values))
    }

    pub fn increment(&self, values: [impl Into<Cow<'static, str>>; N]) {
        self.family.get_or_create(&labels(self.names, values)).inc();
    }

    pub fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.family.clone());
    }
}

/// Histograms of seconds that differ in the values of `N` labels. Clones share them.
#[derive(Clone, Debug)]
pub struct Durations<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Histogram, Buckets>,
}

impl<const N: usize> Durations<N> {
    pub fn new(names: [&'static str; N], buckets: Buckets) -> Self {
        Self { names, family: Family::new_with_constructor(buckets) }
    }

    pub fn observe(&self, values: [impl Into<Cow<'static, str>>; N], duration: Duration) {
        let histogram = self.family.get_or_create(&labels(self.names, values));
        histogram.observe(duration.as_secs_f64());
    }

    pub fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.family.clone());
    }
}

/// Upper bounds of a histogram's buckets, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(&'static [f64]);

/// For a request that is answered here.
pub const REQUEST: Buckets =
    Buckets(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
/// For a call to another system, and for an attempt at a job, which makes such calls.
pub const CALL: Buckets =
    Buckets(&[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]);
/// For the time from one stage to the next: a second, up to a week.
pub const STAGE: Buckets =
    Buckets(&[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0]);

impl Buckets {
    pub fn histogram(self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        self.histogram()
    }
}

/// The seconds of a difference between two clocks or rows, which may be slightly negative.
pub fn seconds(difference: chrono::TimeDelta) -> f64 {
    difference.to_std().unwrap_or_default().as_secs_f64()
}

fn labels<const N: usize>(
    names: [&'static str; N],
    values: [impl Into<Cow<'static, str>>; N],
) -> Labels<N> {
    let mut names = names.into_iter();
    values.map(|value| (names.next().unwrap_or_default(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn families_are_exported_with_their_labels_and_from_the_start() {
        let counters = Counters::new(["kind", "outcome"]).with([["a", "done"], ["a", "dead"]]);
        counters.increment(["a", "dead"]);
        counters.counter(["b", "done"]).inc_by(2);
        let durations = Durations::new(["kind"], REQUEST);
        durations.observe(["a"], Duration::from_millis(3));
        let mut registry = Registry::with_prefix("courier");
        counters.register(&mut registry, "jobs", "Jobs");
        durations.register(&mut registry, "job_seconds", "Duration");
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "courier_jobs_total{kind=\"a\",outcome=\"done\"} 0",
            "courier_jobs_total{kind=\"a\",outcome=\"dead\"} 1",
            "courier_jobs_total{kind=\"b\",outcome=\"done\"} 2",
            "courier_job_seconds_bucket{le=\"0.0025\",kind=\"a\"} 0",
            "courier_job_seconds_bucket{le=\"0.005\",kind=\"a\"} 1",
            "courier_job_seconds_count{kind=\"a\"} 1",
        ] {
            assert!(text.lines().any(|exported| exported == line), "no `{line}` in:\n{text}");
        }
    }

    #[test]
    fn a_negative_difference_is_no_time() {
        assert!(seconds(chrono::TimeDelta::seconds(-3)).abs() < f64::EPSILON);
    }
}
