//! The use of the connection pool, and errors of the database by class.

use std::time::Duration;

use super::health::{is_about_the_data, is_read_only, is_unavailable};
use crate::telemetry::metrics::{Counters, Histogram, REQUEST, Registry};

/// As this process saw the database. Clones share the counters.
#[derive(Clone, Debug)]
pub struct DatabaseMetrics {
    begins: Histogram,
    errors: Counters<1>,
}

/// The connections of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolUsage {
    pub max: u32,
    pub open: u32,
    pub idle: u32,
}

impl Default for DatabaseMetrics {
    fn default() -> Self {
        let classes = ["pool_timeout", "read_only", "unavailable", "data", "other"];
        Self {
            begins: REQUEST.histogram(),
            errors: Counters::new(["class"]).with(classes.map(|class| [class])),
        }
    }
}

impl DatabaseMetrics {
    pub(super) fn begun(&self, took: Duration) {
        self.begins.observe(took.as_secs_f64());
    }

    pub(super) fn failed(&self, error: &sqlx::Error) {
        let class = if matches!(error, sqlx::Error::PoolTimedOut) {
            "pool_timeout"
        } else if is_read_only(error) {
            "read_only"
        } else if is_about_the_data(error) {
            "data"
        } else if is_unavailable(error) {
            "unavailable"
        } else {
            "other"
        };
        self.errors.increment([class]);
    }

    /// An outcome that cannot be recorded yet.
    pub(super) fn cannot_record(&self) {
        self.errors.increment(["other"]);
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Time to get a connection from the pool and begin a transaction";
        registry.register("database_begin_duration_seconds", help, self.begins.clone());
        let help = "Failed operations of the database by class of error";
        self.errors.register(registry, "database_errors", help);
    }
}
