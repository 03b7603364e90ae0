//! Reads the inbox, one batch per transaction.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::metrics::{InboxMetrics, Tally};
use super::store::{self, ReadOutcome, UnreadEvent};
use super::{FollowUps, Settings, to_financing, to_offer};
use crate::clock::Clock;
use crate::database::{Pool, RETRY_INTERVAL, is_about_the_data, with_timeout};
use crate::letters;
use crate::offers::store::knows_account;
use crate::offers::timeline::{self, Entry};
use crate::queue::{Listener, Notifier};
use crate::stripe::{AccountId, EventId, GenerationFailure};
use crate::telemetry::chain;
use crate::telemetry::traces::Span;

/// A note for operators who registered a Connect endpoint. Capital's events belong to the
/// platform's own account (<https://docs.stripe.com/capital/api-integration>).
const CONNECT_ENDPOINT: &str = "arrived through a Connect endpoint: \
    register the webhook for events of your own account instead";

/// Projects events onto offers, letters, the financing ledger and the timeline.
#[derive(Clone, Debug)]
pub struct InboxReader {
    pub db: Pool,
    pub clock: Clock,
    /// The mode of the API key; `None` if the key does not tell.
    pub livemode: Option<bool>,
    /// Opens the letters about new offers.
    pub letters: letters::Opener,
    /// Notified after every batch: it may have queued jobs.
    pub jobs: Notifier,
    pub metrics: Arc<InboxMetrics>,
    pub settings: Settings,
}

/// Records an event of a type that we do not project, such as a credit line's, in the timeline, and
/// looks up its account if that is unknown.
async fn record_unprojected(
    tx: &mut PgConnection,
    event: &UnreadEvent,
    now: DateTime<Utc>,
) -> sqlx::Result<FollowUps> {
    let entry = Entry {
        offer_id: None,
        account_id: event.account_id.as_deref(),
        event_id: Some(&event.event_id),
        kind: &event.event_type,
        status_before: None,
        status_after: None,
        note: event.object_id.as_deref(),
        happened_at: event.happened_at,
    };
    timeline::add(&mut *tx, &entry, now).await?;
    let mut next = FollowUps::default();
    if let Some(account) = event.account_id.as_deref().and_then(|id| id.parse::<AccountId>().ok())
        && !knows_account(tx, account.as_str()).await?
    {
        next.look_ups.account(&account);
    }
    Ok(next)
}

/// Of a trace of its own, because the events of a batch belong to different ones.
fn batch_span(events: &[UnreadEvent]) -> Span {
    Span::work("read_batch", None)
        .number("inbox.events", i64::try_from(events.len()).unwrap_or(i64::MAX))
        .links(events.iter().filter_map(|event| event.traceparent.as_deref()))
}

/// Continues the trace of the request that brought the event.
fn event_span(event: &UnreadEvent) -> Span {
    let span = Span::work("read_event", event.traceparent.as_deref())
        .text("event.id", &event.event_id)
        .text("event.type", &event.event_type);
    match event.object_id.as_deref() {
        Some(object) if event.event_type.starts_with("capital.financing_offer.") => {
            span.text("offer.id", object)
        }
        Some(_) | None => span,
    }
}

impl InboxReader {
    /// Reads until `stop` is cancelled. Finishes the current batch first.
    pub async fn run(self, mut listener: Listener, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Reading opens letters, and their jobs become due by this clock.
            if self.clock.is_wrong() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY_INTERVAL) => continue,
                }
            }
            let idle = match with_timeout(self.read_batch()).await {
                // There may be more.
                Ok(read) if read > 0 => continue,
                Ok(_) => self.settings.poll_interval,
                Err(error) => {
                    self.db.health().report(&error, "cannot read the inbox; its events are kept");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = listener.wait(idle) => {}
            }
        }
    }

    /// Reads one batch and returns the number of its events. If the database rejects the data of
    /// one event, reads a single event instead, so that the rejected one cannot block those behind
    /// it.
    #[tracing::instrument(name = "inbox.read", skip_all)]
    pub async fn read_batch(&self) -> sqlx::Result<usize> {
        match self.read(self.settings.batch_size).await {
            Err(error) if is_about_the_data(&error) => self.read_one().await,
            other => other,
        }
    }

    async fn read(&self, limit: i64) -> sqlx::Result<usize> {
        let started = Instant::now();
        let mut tx = self.db.begin().await?;
        let tally = match self.project_all(&mut tx, limit).await {
            Ok(tally) => tally,
            Err(error) => {
                // Dropping the transaction would roll back later, and until then the next reader
                // would skip the rows that it still locks.
                tx.rollback().await?;
                return Err(error);
            }
        };
        if tally.len() == 0 {
            return Ok(0);
        }
        crate::crash::point("inbox.before_commit");
        tx.commit().await?;
        self.metrics.batch_read(&tally, self.clock.now(), started.elapsed());
        self.jobs.notify();
        Ok(tally.len())
    }

    async fn project_all(&self, tx: &mut PgConnection, limit: i64) -> sqlx::Result<Tally> {
        let mut events = store::lock_unread(&mut *tx, limit).await?;
        if events.is_empty() {
            return Ok(Tally::default());
        }
        // All readers lock offers and transactions in this order, which prevents deadlocks. The
        // sort is stable: the events of one offer stay in order of arrival.
        events.sort_by(|one, other| one.object_id.cmp(&other.object_id));
        batch_span(&events).run(self.project_each(tx, &events)).await
    }

    async fn project_each(
        &self,
        tx: &mut PgConnection,
        events: &[UnreadEvent],
    ) -> sqlx::Result<Tally> {
        let (mut next, mut tally) = (FollowUps::default(), Tally::default());
        for event in events {
            let reading = async {
                let outcome = self.project(&mut *tx, event, &mut next).await?;
                self.mark(&mut *tx, event, &outcome).await?;
                Ok::<_, sqlx::Error>(outcome)
            };
            let outcome = event_span(event).run(reading).await?;
            tally.add(&outcome, event.received_at);
        }
        // Last, because these jobs are locked in an order of their own.
        next.queue(tx, self.clock.now()).await?;
        Ok(tally)
    }

    /// Reads the oldest event alone, and marks it unreadable if the database rejects it. The row
    /// stays locked throughout: without the lock, another reader could take the bad event and this
    /// one would mark a good one.
    async fn read_one(&self) -> sqlx::Result<usize> {
        let started = Instant::now();
        let mut tx = self.db.begin().await?;
        let events = store::lock_unread(&mut tx, 1).await?;
        let (mut next, mut tally) = (FollowUps::default(), Tally::default());
        for event in &events {
            let mut savepoint = tx.begin().await?;
            let projecting = self.project(&mut savepoint, event, &mut next);
            let outcome = match event_span(event).run(projecting).await {
                Ok(outcome) => {
                    savepoint.commit().await?;
                    outcome
                }
                Err(error) if is_about_the_data(&error) => {
                    savepoint.rollback().await?;
                    ReadOutcome::Unreadable(chain(&error))
                }
                Err(error) => return Err(error),
            };
            self.mark(&mut tx, event, &outcome).await?;
            tally.add(&outcome, event.received_at);
        }
        next.queue(&mut tx, self.clock.now()).await?;
        tx.commit().await?;
        self.metrics.batch_read(&tally, self.clock.now(), started.elapsed());
        self.jobs.notify();
        Ok(events.len())
    }

    /// Projects one event and adds the jobs that it requires to `next`.
    async fn project(
        &self,
        tx: &mut PgConnection,
        event: &UnreadEvent,
        next: &mut FollowUps,
    ) -> sqlx::Result<ReadOutcome> {
        if matches!((event.livemode, self.livemode), (Some(event), Some(key)) if event != key) {
            return Ok(ReadOutcome::WrongMode);
        }
        if event.event_type == GenerationFailure::EVENT_TYPE
            && let Ok(id) = event.event_id.parse::<EventId>()
        {
            next.look_ups.generation_failure(&id);
            return Ok(ReadOutcome::Read(None));
        }
        if !event.event_type.starts_with("capital.") {
            return Ok(ReadOutcome::Ignored);
        }
        if event.payload.is_empty() {
            return Ok(ReadOutcome::Unreadable(
                "its body was erased: it cannot be read again".to_owned(),
            ));
        }
        let body: Value = match serde_json::from_slice(&event.payload) {
            Ok(body) => body,
            Err(error) => return Ok(ReadOutcome::Unreadable(chain(&error))),
        };
        let (mut outcome, required) = self.dispatch(tx, event, &body).await?;
        next.add(required);
        if outcome == ReadOutcome::Read(None) && body.get("account").is_some_and(Value::is_string) {
            outcome = ReadOutcome::Read(Some(CONNECT_ENDPOINT));
        }
        Ok(outcome)
    }

    /// Dispatches an event of Capital by the object that it is about.
    async fn dispatch(
        &self,
        tx: &mut PgConnection,
        event: &UnreadEvent,
        body: &Value,
    ) -> sqlx::Result<(ReadOutcome, FollowUps)> {
        let now = self.clock.now();
        let kind = event.event_type.trim_start_matches("capital.");
        let is_about =
            |object: &str| kind.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'));
        if !is_about("financing_offer") && !is_about("financing_transaction") {
            return Ok((ReadOutcome::Read(None), record_unprojected(tx, event, now).await?));
        }
        let Some(object) = body.pointer("/data/object") else {
            return Ok((
                ReadOutcome::Unreadable("no `data.object`".to_owned()),
                FollowUps::default(),
            ));
        };
        if is_about("financing_offer") {
            to_offer::hand_over(tx, event, object, &self.letters, now).await
        } else {
            to_financing::hand_over(tx, event, object, now).await
        }
    }

    async fn mark(
        &self,
        tx: &mut PgConnection,
        event: &UnreadEvent,
        outcome: &ReadOutcome,
    ) -> sqlx::Result<()> {
        let (id, kind) = (&event.event_id, &event.event_type);
        match outcome {
            ReadOutcome::Read(None) => {
                tracing::info!(event.id = id, event.r#type = kind, "read event");
            }
            ReadOutcome::Read(Some(note)) => {
                tracing::warn!(event.id = id, event.r#type = kind, note, "read event");
            }
            ReadOutcome::Ignored => {
                tracing::debug!(event.id = id, event.r#type = kind, "ignored event");
            }
            ReadOutcome::WrongMode => {
                tracing::warn!(
                    event.id = id,
                    event.r#type = kind,
                    "ignored an event of the wrong mode"
                );
            }
            ReadOutcome::Unreadable(why) => {
                tracing::error!(
                    event.id = id,
                    event.r#type = kind,
                    why,
                    "cannot read event: an operator must act"
                );
            }
        }
        store::mark(tx, id, outcome, self.clock.now()).await
    }
}
