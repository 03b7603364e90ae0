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
//! those of other requests that wait at that moment ([`InboxWriter`]). `inbox_events` is its own
//! queue: a reader parses a batch, takes the events that no other reader has taken, projects them and
//! marks them read in one transaction, without network calls. A crash rolls back, and the batch is
//! read again. Projections are idempotent: each is guarded by a unique key of its own.
//!
//! A process has [`READERS`] readers. Each reads the events of its share of the accounts
//! ([`Share`]), so that the events of one account are read in the order of arrival; a lock keeps the
//! same share of two replicas apart.

mod batch;
pub mod bodies;
pub mod browse;
mod envelope;
mod event;
mod mentions;
mod metrics;
mod parse;
pub mod store;
mod to_financing;
mod to_offer;
mod writer;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::financing::BackfillRequests;
use crate::offers::look_up::LookUps;
use crate::offers::timeline::Entries;

pub use batch::InboxReader;
pub use event::{Arrival, StoreResult};
pub use metrics::InboxMetrics;
pub use store::Share;
pub use writer::{InboxWriter, StoreError};

/// The readers of a process; one with the embedded database, which has one connection. All replicas
/// have the same number.
pub const READERS: i32 = 2;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Maximum number of events per transaction.
    pub batch_size: i64,
    /// How long to wait for a notification before polling.
    pub poll_interval: Duration,
}

/// What a batch of events requires besides the rows of its offers and transactions.
#[derive(Debug, Default)]
struct FollowUps {
    timeline: Entries,
    look_ups: LookUps,
    backfills: BackfillRequests,
}

impl FollowUps {
    /// The kinds of jobs to notify once they are committed.
    fn kinds(&self) -> BTreeSet<&'static str> {
        let mut kinds = self.look_ups.kinds();
        kinds.extend(self.backfills.kind_due_now());
        kinds
    }

    /// Writes the entries and queues the jobs. Must be the last statements of the caller's
    /// transaction before its commit.
    async fn write(self, tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        self.timeline.insert(&mut *tx, now).await?;
        self.look_ups.queue(&mut *tx, now).await?;
        self.backfills.queue(tx, now).await
    }
}
