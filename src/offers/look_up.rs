//! Requests to ask Stripe about offers and accounts that are named before they are known: a
//! transaction may be the first sign of an offer that was made before this service was installed.
//!
//! `crate::flow::offer` runs the jobs.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::REFRESH_JOB;
use crate::queue;
use crate::stripe::{AccountId, EventId, OfferId};

/// The kind of the jobs that list the offers of an account, or read the object of an event that
/// Stripe failed to generate. The subject is the id of the account or of the event that reports the
/// failure.
pub const LOOK_UP_JOB: &str = "look_up";

/// The cause of the refresh that reads an unknown offer.
const UNKNOWN: &str = "unknown";

/// The look-ups that a batch of events requires. They are queued after the batch has locked its
/// rows, and in one order, so that concurrent batches cannot deadlock.
#[derive(Debug, Default)]
#[must_use = "a look-up that is not queued does not happen"]
pub struct LookUps(BTreeSet<(&'static str, String)>);

impl LookUps {
    pub fn offer(&mut self, id: &OfferId) {
        self.0.insert((REFRESH_JOB, format!("{id}/{UNKNOWN}")));
    }

    /// All offers of the account.
    pub fn account(&mut self, id: &AccountId) {
        self.0.insert((LOOK_UP_JOB, id.to_string()));
    }

    /// The object that the event names, which changed without an event of its own.
    pub fn generation_failure(&mut self, id: &EventId) {
        self.0.insert((LOOK_UP_JOB, id.to_string()));
    }

    /// Merges `other` into this.
    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Queues a job for each, unless there was one before: an offer or account that Stripe did not
    /// know then is announced by an event of its own.
    pub async fn queue(self, tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        for (kind, subject) in self.0 {
            queue::enqueue(&mut *tx, kind, &subject, now).await?;
        }
        Ok(())
    }
}
