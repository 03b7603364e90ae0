//! The ledger, its backfill, and random lives held against a second ledger.

mod backfill;
mod discounts;
pub mod ledger;
mod random_lives;
mod sums;
