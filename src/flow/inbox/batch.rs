//! Reads the inbox, a batch in each transaction.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::store::{self, ReadOutcome, Unread};
use super::{Settings, to_financing, to_offer};
use crate::clock::Clock;
use crate::database::{DatabaseHealth, Pool, RETRY_INTERVAL, is_about_the_data, with_timeout};
use crate::financing::BackfillRequests;
use crate::offers::timeline::{self, Entry};
use crate::queue::{Listener, Notifier};
use crate::telemetry::chain;

/// What an operator has to change where a Connect endpoint was registered (<https://docs.stripe.com/capital/api-integration>:
/// Capital's events are the platform's own).
const CONNECT_ENDPOINT: &str = "arrived through a Connect endpoint: register the webhook for events of your own account instead";

/// Turns events into offers, letters and lines of the timeline.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Where the events are.
    pub db: Pool,
    /// When they are read.
    pub clock: Clock,
    /// Live or test, as the key says; none where it does not say.
    pub livemode: Option<bool>,
    /// The domain of the Message-ID of letters that reading opens.
    pub message_id_domain: String,
    /// Rung after a batch that may have queued a job.
    pub jobs: Notifier,
    /// Observation of a database that would not be read.
    pub database_health: DatabaseHealth,
    /// How much at once, how often.
    pub settings: Settings,
}

/// A change of a credit line, or something newer: kept in the timeline of its account.
async fn keep_line(tx: &mut PgConnection, event: &Unread, now: DateTime<Utc>) -> sqlx::Result<()> {
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
    timeline::add(tx, &entry, now).await
}

impl Reader {
    /// Reads until `stop`. A batch in hand is finished first.
    pub async fn run(self, mut listener: Listener, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Reading opens letters, whose jobs are due by this clock.
            if self.clock.is_wrong() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY_INTERVAL) => continue,
                }
            }
            let idle = match with_timeout(self.read_batch()).await {
                // A full batch: there may be more.
                Ok(read) if read > 0 => continue,
                Ok(_) => self.settings.poll_interval,
                Err(error) => {
                    self.database_health
                        .report(&error, "cannot read the inbox; what is in it stays there");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = listener.wait(idle) => {}
            }
        }
    }

    /// Reads one batch and says how many events were in it. An event that the database itself will not take as we read it
    /// is set aside, so that it cannot hold up those behind it.
    #[tracing::instrument(name = "inbox.read", skip_all)]
    pub async fn read_batch(&self) -> sqlx::Result<usize> {
        match self.read(self.settings.batch_size).await {
            Err(error) if is_about_the_data(&error) => self.read_one().await,
            other => other,
        }
    }

    async fn read(&self, limit: i64) -> sqlx::Result<usize> {
        let mut tx = self.db.begin().await?;
        let events = match self.project_all(&mut tx, limit).await {
            Ok(events) => events,
            Err(error) => {
                // Not left to the drop, which rolls back some time later: whoever looks next would pass over what is still locked.
                tx.rollback().await?;
                return Err(error);
            }
        };
        if events == 0 {
            return Ok(0);
        }
        crate::crash::point("inbox.before_commit");
        tx.commit().await?;
        self.jobs.notify();
        Ok(events)
    }

    async fn project_all(&self, tx: &mut PgConnection, limit: i64) -> sqlx::Result<usize> {
        let mut events = store::lock_unread(&mut *tx, limit).await?;
        // Every reader takes the locks of offers and movements in this order, so that two of them cannot wait for each other. The
        // sort is stable: events of one offer stay in the order of their arrival.
        events.sort_by(|one, other| one.object_id.cmp(&other.object_id));
        let mut to_read = BackfillRequests::default();
        for event in &events {
            let outcome = self.project(&mut *tx, event, &mut to_read).await?;
            self.mark(&mut *tx, event, &outcome).await?;
        }
        // After all of them: these jobs have an order of their own.
        to_read.queue(tx, self.clock.now()).await?;
        Ok(events.len())
    }

    /// Reads the oldest event alone. If it is the one that the database refuses, says so on this very event: the lock on it is
    /// held throughout, as another reader could otherwise take it and leave us with an innocent one.
    async fn read_one(&self) -> sqlx::Result<usize> {
        let mut tx = self.db.begin().await?;
        let events = store::lock_unread(&mut tx, 1).await?;
        let mut to_read = BackfillRequests::default();
        for event in &events {
            let mut savepoint = tx.begin().await?;
            let outcome = match self.project(&mut savepoint, event, &mut to_read).await {
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
        }
        to_read.queue(&mut tx, self.clock.now()).await?;
        tx.commit().await?;
        self.jobs.notify();
        Ok(events.len())
    }

    /// Adds whose transactions are to be read then.
    async fn project(
        &self,
        tx: &mut PgConnection,
        event: &Unread,
        to_read: &mut BackfillRequests,
    ) -> sqlx::Result<ReadOutcome> {
        if matches!((event.livemode, self.livemode), (Some(event), Some(key)) if event != key) {
            return Ok(ReadOutcome::WrongMode);
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
        let (mut outcome, then) = self.hand_over(tx, event, &body).await?;
        to_read.add(then);
        if outcome == ReadOutcome::Read(None) && body.get("account").is_some_and(Value::is_string) {
            outcome = ReadOutcome::Read(Some(CONNECT_ENDPOINT));
        }
        Ok(outcome)
    }

    /// To whom an event about Capital belongs.
    async fn hand_over(
        &self,
        tx: &mut PgConnection,
        event: &Unread,
        body: &Value,
    ) -> sqlx::Result<(ReadOutcome, BackfillRequests)> {
        let now = self.clock.now();
        let kind = event.event_type.trim_start_matches("capital.");
        let is_about =
            |object: &str| kind.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'));
        if !is_about("financing_offer") && !is_about("financing_transaction") {
            keep_line(tx, event, now).await?;
            return Ok((ReadOutcome::Read(None), BackfillRequests::default()));
        }
        let Some(object) = body.pointer("/data/object") else {
            return Ok((
                ReadOutcome::Unreadable("no `data.object`".to_owned()),
                BackfillRequests::default(),
            ));
        };
        if is_about("financing_offer") {
            to_offer::hand_over(tx, event, object, &self.message_id_domain, now).await
        } else {
            to_financing::hand_over(tx, event, object, now).await
        }
    }

    async fn mark(
        &self,
        tx: &mut PgConnection,
        event: &Unread,
        outcome: &ReadOutcome,
    ) -> sqlx::Result<()> {
        let (id, kind) = (&event.event_id, &event.event_type);
        match outcome {
            ReadOutcome::Read(None) => {
                tracing::info!(event.id = id, event.r#type = kind, "read event")
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
                    "event of the wrong mode: not acted on"
                );
            }
            ReadOutcome::Unreadable(why) => {
                tracing::error!(
                    event.id = id,
                    event.r#type = kind,
                    why,
                    "cannot read event: a person must look"
                );
            }
        }
        store::mark(tx, id, outcome, self.clock.now()).await
    }
}
