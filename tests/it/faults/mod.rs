//! Crashes, outages, and faulty or hostile peers.

mod adoption;
mod alerts;
mod connections;
#[cfg(feature = "crash-points")]
mod crash;
mod hostile_relay;
mod load;
mod outage;
mod pgbouncer;
mod pool;
mod processes;
mod stripe_impostor;
