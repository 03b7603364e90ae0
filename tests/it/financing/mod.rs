//! The ledger, its backfill, and random lives held against a second ledger.

mod backfill;
pub mod ledger;
mod random_lives;
