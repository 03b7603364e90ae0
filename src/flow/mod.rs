//! The five stages of an offer's way to the merchant, in order.
//!
//! ```text
//! webhook ──▶ inbox ──▶ offer ──▶ email ──▶ delivered
//! verify      keep      read      send      mark_delivered
//! ```
//!
//! Each arrow is a file `to_<next>.rs` in the folder that it leaves, and each has the same shape: **finish mine, open yours,
//! queue yours, commit**, in one transaction. A stage knows the next one only, and only there; it defines what it is given,
//! and the one before converts into it. `tests/architecture.rs` holds us to it.

pub mod delivered;
pub mod email;
pub mod inbox;
pub mod offer;
pub mod webhook;
