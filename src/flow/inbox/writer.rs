//! Stores the events of many requests with one commit.
//!
//! ```text
//! request ─▶ queue ─┐
//! request ─▶ queue ─┼─▶ one insert, commit ─▶ each request hears its own outcome
//! request ─▶ queue ─┘
//! ```
//!
//! A commit costs about the same for one event as for thirty, so the events that arrive while the
//! writers commit are stored by the next statement ([`Batcher`]). What a request hears:
//!
//! | outcome | after |
//! |---|---|
//! | stored, duplicate | the commit of a statement with its event |
//! | [`StoreError::Rejected`] | Postgres rejected this event, alone |
//! | [`StoreError::NotStored`] | a statement failed, or its writer panicked: it may be stored or not |
//! | [`StoreError::QueueFull`] | nothing happened |
//!
//! If Postgres rejects the data of a batch, its halves are stored apart, down to the event that is
//! at fault. A request that is cancelled leaves its event in the queue, and it is stored.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::{Arrival, StoreResult, store};
use crate::database::{BatchLimits, BatchWork, Batcher, Pool, is_about_the_data, with_timeout};
use crate::queue::Notifier;
use crate::telemetry::LogLimit;

/// As many requests as the default of `http.max_connections` lets in. A writer that works takes
/// them all within a tenth of a second.
const MAX_WAITING: usize = 1024;
/// Larger batches save little more, and each of their requests waits for all.
const MAX_BATCH: usize = 256;
/// Some 256 of Stripe's events about Capital. Bounds the copy that is sent to Postgres.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// One prepares its statement while the other waits for its commit; more only make smaller batches.
const MAX_WRITERS: usize = 2;

static LOG_LIMIT: LogLimit = LogLimit::new();

/// Stores events for requests. Clones share the queue and its writers.
#[derive(Clone, Debug)]
pub struct InboxWriter(Arc<Batcher<Writing>>);

/// Why an event was not stored. What concerns the database is reported already.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("Postgres rejected the event: {0}")]
    Rejected(String),
    #[error("too many events wait to be stored")]
    QueueFull,
    #[error("the database did not store the event")]
    NotStored,
}

type Outcome = Result<(StoreResult, Arrival), StoreError>;

#[derive(Debug)]
struct Writing {
    db: Pool,
    /// Notified when an event was stored.
    reader: Notifier,
}

/// An event, and the request that waits for its outcome.
#[derive(Debug)]
struct Waiting {
    arrival: Arrival,
    request: oneshot::Sender<Outcome>,
}

impl InboxWriter {
    pub fn new(db: Pool, reader: Notifier) -> Self {
        let available = usize::try_from(db.usage().max).unwrap_or(MAX_WRITERS);
        let tasks = MAX_WRITERS.min(available);
        let limits = BatchLimits {
            waiting: MAX_WAITING,
            batch: MAX_BATCH,
            batch_bytes: MAX_BATCH_BYTES,
            tasks,
        };
        Self(Batcher::new(Writing { db, reader }, limits))
    }

    /// Stores the event and returns it. It is committed when this returns.
    pub async fn store(&self, arrival: Arrival) -> Outcome {
        let (request, outcome) = oneshot::channel();
        if self.0.push(Waiting { arrival, request }).is_err() {
            LOG_LIMIT.write("queue full", |suppressed| {
                tracing::warn!(
                    log.suppressed = suppressed,
                    limit = MAX_WAITING,
                    "too many events wait to be stored: asked Stripe to send them again"
                );
            });
            return Err(StoreError::QueueFull);
        }
        // Without an answer if the writer panicked, or if the process stops before it wrote.
        outcome.await.unwrap_or(Err(StoreError::NotStored))
    }

    /// Stores a signed body that is not an event. It is committed when this returns.
    pub async fn store_malformed(
        &self,
        body: &[u8],
        reason: &str,
        received_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let db = &self.0.work().db;
        let stored = with_timeout(store::store_malformed(db, body, reason, received_at)).await;
        stored.map_err(|error| not_stored(db, &error))
    }
}

impl BatchWork for Writing {
    type Entry = Waiting;

    fn size_bytes(waiting: &Waiting) -> usize {
        waiting.arrival.payload.len()
    }

    async fn run(&self, batch: Vec<Waiting>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            crate::crash::point("webhook.before_commit");
            match self.store(&part).await {
                Ok(results) => self.answer(part, &results),
                Err(error) if is_about_the_data(&error) => {
                    if part.len() == 1 {
                        reject(part, &error);
                    } else {
                        let second = part.split_off(part.len() / 2);
                        parts.extend([second, part]);
                    }
                }
                Err(error) => {
                    let _ = not_stored(&self.db, &error);
                    // Parts that are left would wait as long for the same error.
                    parts.push(part);
                    return give_up(parts);
                }
            }
        }
    }
}

impl Writing {
    async fn store(&self, part: &[Waiting]) -> sqlx::Result<Vec<StoreResult>> {
        let arrivals: Vec<&Arrival> = part.iter().map(|waiting| &waiting.arrival).collect();
        with_timeout(store::store_all(&self.db, &arrivals)).await
    }

    /// Everything in `part` is committed.
    fn answer(&self, part: Vec<Waiting>, results: &[StoreResult]) {
        crate::crash::point("webhook.before_answers");
        // One line for all: a line for each event was a quarter of the service's CPU time.
        if tracing::enabled!(tracing::Level::INFO) {
            log(&part, results);
        }
        if results.contains(&StoreResult::Inserted) {
            self.reader.notify();
        }
        for (Waiting { arrival, request }, result) in part.into_iter().zip(results) {
            // Nobody listens any more if the request was cancelled.
            let _ = request.send(Ok((*result, arrival)));
            crate::crash::point("webhook.between_answers");
        }
    }
}

fn not_stored(db: &Pool, error: &sqlx::Error) -> StoreError {
    db.health().report(error, "cannot store events: asked Stripe to send them again");
    StoreError::NotStored
}

fn log(part: &[Waiting], results: &[StoreResult]) {
    let ids = |wanted| {
        let events = part.iter().zip(results).filter(|(_, result)| **result == wanted);
        let ids: Vec<&str> = events.map(|(event, _)| event.arrival.event_id.as_str()).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    };
    tracing::info!(
        event.id = ids(StoreResult::Inserted),
        event.duplicate_id = ids(StoreResult::Duplicate),
        "stored events"
    );
}

fn reject(part: Vec<Waiting>, error: &sqlx::Error) {
    for Waiting { request, .. } in part {
        let _ = request.send(Err(StoreError::Rejected(error.to_string())));
    }
}

fn give_up(parts: Vec<Vec<Waiting>>) {
    for waiting in parts.into_iter().flatten() {
        let _ = waiting.request.send(Err(StoreError::NotStored));
    }
}
