//! Periodic work: reconciliation, retention, the clock, replicas.

mod adoption;
mod clock;
mod reconcile;
mod replicas;
mod retention;
