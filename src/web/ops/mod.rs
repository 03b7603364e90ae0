//! The operators' endpoints: health and metrics.

mod health;
mod metrics;
mod process;
mod state;

use std::net::SocketAddr;

pub use health::router;
pub use metrics::{Sources, router as metrics};

/// Concurrent connections: a scraper, an orchestrator's probes, a few people.
pub const MAX_CONNECTIONS: usize = 64;

/// The settings of the operators' endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Must not be reachable from the internet.
    pub listen: SocketAddr,
}
