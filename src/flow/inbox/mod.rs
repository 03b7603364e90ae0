//! The inbox: stores every verified event from Stripe unchanged, then reads them in batches.
//!
//! ```text
//! unread ─┬─▶ read         projected onto offers, letters, the ledger and the timeline
//!         ├─▶ ignored      not about Capital
//!         ├─▶ wrong_mode   a live event for a test key or vice versa: never acted on
//!         └─▶ unreadable   about Capital, but not in a known form: an operator must act
//! ```
//!
//! An event (`inbox_events`) and its body (`inbox_bodies`) are committed together, and with them
//! those of other requests that wait at that moment ([`InboxWriter`]). `inbox_events` is its own queue: a reader takes a batch with `for update skip locked`, projects it and marks it
//! read in one transaction, without network calls. A crash rolls back, and the batch is read again.
//! Projections are idempotent: each is guarded by a unique key of its own.

mod batch;
pub mod bodies;
pub mod browse;
mod envelope;
mod event;
mod metrics;
pub mod store;
mod to_financing;
mod to_offer;
mod writer;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::financing::BackfillRequests;
use crate::offers::look_up::LookUps;

pub use batch::InboxReader;
pub use event::{Arrival, StoreResult};
pub use metrics::InboxMetrics;
pub use writer::{InboxWriter, StoreError};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Maximum number of events per transaction.
    pub batch_size: i64,
    /// How long to wait for a notification before polling.
    pub poll_interval: Duration,
}

/// The jobs that a batch of events requires.
#[derive(Debug, Default)]
struct FollowUps {
    backfills: BackfillRequests,
    look_ups: LookUps,
}

impl FollowUps {
    fn add(&mut self, other: Self) {
        self.backfills.add(other.backfills);
        self.look_ups.add(other.look_ups);
    }

    /// Queues the jobs. Must be the last statements of the caller's transaction before its commit.
    async fn queue(self, tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        self.look_ups.queue(&mut *tx, now).await?;
        self.backfills.queue(tx, now).await
    }
}
