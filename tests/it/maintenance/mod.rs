//! Periodic work: reconciliation, retention, the clock, the list of replicas.

mod adoption;
mod clock;
mod reconcile;
mod replicas;
mod retention;
