//! Requests to ask Stripe: about offers whose events contradict each other, and about offers and
//! accounts that are named before they are known. A transaction may be the first sign of an offer
//! that was made before this service was installed.
//!
//! `crate::flow::offer` runs the jobs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::REFRESH_JOB;
use crate::queue::{self, NewJob};
use crate::stripe::{AccountId, EventId, OfferId};
use crate::telemetry::traces;

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
pub struct LookUps(BTreeMap<(&'static str, String), Request>);

#[derive(Debug)]
struct Request {
    /// Whether a finished job is queued again.
    again: bool,
    traceparent: Option<String>,
}

impl LookUps {
    pub fn offer(&mut self, id: &OfferId) {
        self.once(REFRESH_JOB, format!("{id}/{UNKNOWN}"));
    }

    /// All offers of the account.
    pub fn account(&mut self, id: &AccountId) {
        self.once(LOOK_UP_JOB, id.to_string());
    }

    /// The object that the event names, which changed without an event of its own.
    pub fn generation_failure(&mut self, id: &EventId) {
        self.once(LOOK_UP_JOB, id.to_string());
    }

    /// A known offer. There is one job per offer and cause; a finished one is queued again.
    pub fn refresh(&mut self, offer_id: &str, cause: &str, traceparent: Option<String>) {
        let request = Request { again: true, traceparent };
        self.0.insert((REFRESH_JOB, format!("{offer_id}/{cause}")), request);
    }

    /// Unless there was a job before: an offer or account that Stripe did not know then is
    /// announced by an event of its own.
    fn once(&mut self, kind: &'static str, subject: String) {
        let request = || Request { again: false, traceparent: traces::traceparent() };
        self.0.entry((kind, subject)).or_insert_with(request);
    }

    /// Merges `other` into this.
    pub fn add(&mut self, other: Self) {
        for (key, request) in other.0 {
            let known = self.0.entry(key).or_insert(Request { again: false, traceparent: None });
            known.again |= request.again;
            known.traceparent = known.traceparent.take().or(request.traceparent);
        }
    }

    /// The kinds of the jobs.
    pub fn kinds(&self) -> BTreeSet<&'static str> {
        self.0.keys().map(|(kind, _)| *kind).collect()
    }

    /// Queues the jobs.
    pub async fn queue(self, tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        let jobs: Vec<NewJob<'_>> = self
            .0
            .iter()
            .map(|((kind, subject), request)| NewJob {
                kind,
                subject,
                low_priority: false,
                due_at: now,
                traceparent: request.traceparent.clone(),
            })
            .collect();
        let added = queue::enqueue_all(&mut *tx, &jobs).await?;
        let again = jobs.iter().zip(self.0.values()).filter(|(_, request)| request.again);
        let again = again.map(|(job, _)| job).filter(|job| !added.contains(&job.key()));
        let mut again: Vec<NewJob<'_>> = again.cloned().collect();
        let keys: Vec<String> = again.iter().map(NewJob::key).collect();
        let requeued = queue::requeue_all(&mut *tx, &keys, now).await?;
        // The others are open, unless they were done and left since the first statement.
        again.retain(|job| !requeued.contains(&job.key()));
        queue::enqueue_all(tx, &again).await.map(drop)
    }
}
