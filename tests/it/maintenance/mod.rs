//! Periodic work: reconciliation, retention, the clock, the list of replicas.

mod clock;
mod reconcile;
mod replicas;
mod retention;
