//! What people and machines that run the service ask it.

mod health;
mod metrics;

pub use health::router;
pub use metrics::{Sources, router as metrics};

use std::net::SocketAddr;

/// Connections at once: a scraper, an orchestrator's probes, a person or two.
pub const MAX_CONNECTIONS: usize = 64;

/// Where the operators' side listens.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Address and port. Not for the public.
    pub listen: SocketAddr,
}
