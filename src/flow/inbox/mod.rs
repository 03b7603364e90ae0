//! The inbox: every event that was proven to be Stripe's, kept as it came, then read in batches.
//!
//! ```text
//! unread ─┬─▶ read         projected: offers, timeline, letters
//!         ├─▶ ignored      not about Capital
//!         ├─▶ wrong_mode   live event for a test key, or the other way round: never acted on
//!         └─▶ unreadable   about Capital, but not as we know it: a person must look
//! ```
//!
//! An event and its body are committed together, in `inbox_events` and `inbox_bodies`.
//! `inbox_events` is its own queue. A reader takes a batch with `for update skip locked`, projects it and marks it read in one
//! transaction, without any network call. A crash rolls back, and the batch is read again; nothing happens twice, because
//! every projection is guarded by a key of its own.

mod batch;
pub mod bodies;
mod event;
pub mod store;
mod to_financing;
mod to_offer;

use std::time::Duration;

pub use batch::Reader;
pub use event::{Arrival, Kept};

/// How the inbox is read.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Events read in one transaction, at most.
    pub batch_size: i64,
    /// How long to wait for a hint before looking at the table.
    pub poll_interval: Duration,
}
