//! Work that recurs: reconciliation with Stripe, reminders, retention, the clock, and the list of
//! replicas.

pub mod clock_sync;
pub mod reconcile;
pub mod reminders;
pub mod replicas;
pub mod retention;
