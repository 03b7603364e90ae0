//! Reads the inbox, one batch per transaction.
//!
//! A batch is a bounded number of statements, whatever its size: the oldest unread events and their
//! bodies are read and parsed outside of any transaction; the transaction then marks those that no
//! other reader has taken, and writes the rows of each kind with one statement. Its effect is that of
//! its events one after the other, in the order of arrival.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::mentions::Mentions;
use super::metrics::{InboxMetrics, Tally};
use super::parse::{ParsedEvent, Projection, parse};
use super::store::{self, ReadOutcome, Share, UnreadEvent};
use super::{FollowUps, Settings, to_financing, to_offer};
use crate::clock::Clock;
use crate::database::{Pool, RETRY_INTERVAL, is_about_the_data, with_timeout};
use crate::letters;
use crate::offers::timeline::Entry;
use crate::queue::{Listener, Notifier};
use crate::stripe::AccountId;
use crate::telemetry::chain;
use crate::telemetry::traces::{self, Span};

/// Projects events onto offers, letters, the financing ledger and the timeline.
#[derive(Clone, Debug)]
pub struct InboxReader {
    pub db: Pool,
    pub clock: Clock,
    /// The mode of the API key; `None` if the key does not tell.
    pub livemode: Option<bool>,
    /// Opens the letters about new offers.
    pub letters: letters::Opener,
    /// Notified of the kinds of jobs that a batch queued.
    pub jobs: Notifier,
    pub metrics: Arc<InboxMetrics>,
    pub settings: Settings,
    /// Whose events it reads.
    pub share: Share,
}

/// What a batch changed.
#[derive(Debug)]
struct AppliedEvents<'a> {
    events: Vec<&'a ParsedEvent>,
    /// Of the jobs that may have been queued.
    kinds: BTreeSet<&'static str>,
}

/// Of a trace of its own, because the events of a batch belong to different ones.
fn batch_span(events: &[ParsedEvent]) -> Span {
    Span::work("read_batch", None)
        .number("inbox.events", i64::try_from(events.len()).unwrap_or(i64::MAX))
        .links(events.iter().filter_map(|parsed| parsed.event.traceparent.as_deref()))
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

    /// Reads one batch and returns the number of its events. If the database rejects the data of an
    /// event, splits the batch until that event is alone, and marks it unreadable: it costs the
    /// batch a few transactions and blocks none of the others.
    #[tracing::instrument(name = "inbox.read", skip_all)]
    pub async fn read_batch(&self) -> sqlx::Result<usize> {
        let unread = store::peek_unread(&self.db, self.share, self.settings.batch_size).await?;
        let mut parsed = Vec::with_capacity(unread.len());
        for event in unread {
            parsed.push(self.parse(event).await);
        }
        let (mut parts, mut read) = (vec![&parsed[..]], 0);
        while let Some(part) = parts.pop() {
            match self.read(part).await {
                Err(error) if is_about_the_data(&error) => {
                    if let [rejected] = part {
                        read += self.reject(rejected, &error).await?;
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        // The first half is read first.
                        parts.extend([second, first]);
                    }
                }
                outcome => match outcome? {
                    Some(events) => read += events,
                    // The parts that are left are later: their events would overtake these.
                    None => break,
                },
            }
        }
        Ok(read)
    }

    async fn parse(&self, mut event: UnreadEvent) -> ParsedEvent {
        let parsing = async { (parse(&event, self.livemode), traces::traceparent()) };
        let ((projection, outcome), traceparent) = event_span(&event).run(parsing).await;
        event.payload = Vec::new();
        ParsedEvent { event, projection, outcome, traceparent }
    }

    /// Reads those of the events that are unread and that no other reader has taken. `None`, without
    /// any effect, if another reader has the share.
    async fn read(&self, events: &[ParsedEvent]) -> sqlx::Result<Option<usize>> {
        if events.is_empty() {
            return Ok(Some(0));
        }
        let started = Instant::now();
        let mut tx = self.db.begin_along_indexes().await?;
        let read = match batch_span(events).run(self.apply(&mut tx, events)).await {
            Ok(read) => read,
            Err(error) => {
                // Dropping the transaction would roll back later, and until then the next reader
                // would skip the rows that it still locks.
                tx.rollback().await?;
                return Err(error);
            }
        };
        crate::crash::point("inbox.before_commit");
        tx.commit().await?;
        crate::crash::point("inbox.after_commit");
        let Some(AppliedEvents { events, kinds }) = read else { return Ok(None) };
        for kind in kinds {
            self.jobs.notify_kind(kind);
        }
        let outcomes: Vec<_> =
            events.iter().map(|parsed| (&parsed.event, &parsed.outcome)).collect();
        self.report(&outcomes, started);
        Ok(Some(events.len()))
    }

    /// Marks an event that the database rejected. No other event can be meant: it is named.
    async fn reject(&self, parsed: &ParsedEvent, error: &sqlx::Error) -> sqlx::Result<usize> {
        let (started, event) = (Instant::now(), &parsed.event);
        let outcome = ReadOutcome::Unreadable(chain(error));
        let mut tx = self.db.begin_along_indexes().await?;
        let marks = [(event.event_id.as_str(), &outcome)];
        let marked = store::mark(&mut tx, &marks, self.clock.now()).await?.len();
        tx.commit().await?;
        if marked > 0 {
            self.report(&[(event, &outcome)], started);
        }
        Ok(marked)
    }

    /// Applies events in the caller's transaction and returns them without those that another
    /// reader has taken; `None` if one has the share. Locks offers, transactions and jobs in one
    /// order, as every reader does.
    async fn apply<'a>(
        &self,
        tx: &mut PgConnection,
        events: &'a [ParsedEvent],
    ) -> sqlx::Result<Option<AppliedEvents<'a>>> {
        let now = self.clock.now();
        if !store::lock_share(&mut *tx, self.share).await? {
            return Ok(None);
        }
        let marks: Vec<_> =
            events.iter().map(|parsed| (parsed.event.event_id.as_str(), &parsed.outcome)).collect();
        let marked = store::mark(&mut *tx, &marks, now).await?;
        crate::crash::point("inbox.after_lock");
        let events: Vec<&ParsedEvent> =
            events.iter().filter(|parsed| marked.contains(&parsed.event.event_id)).collect();
        let (mut mentions, mut follow_ups) = (Mentions::default(), FollowUps::default());
        to_financing::hand_over(&mut *tx, &events, &mut mentions, &mut follow_ups, now).await?;
        record_unprojected(&events, &mut mentions, &mut follow_ups);
        let known = mentions.known(&mut *tx).await?;
        crate::crash::point("inbox.between_sets");
        let new =
            to_offer::hand_over(&mut *tx, &events, &self.letters, &mut follow_ups, now).await?;
        mentions.look_up(&known, &new, &mut follow_ups.look_ups);
        let mut kinds = follow_ups.kinds();
        follow_ups.write(tx, now).await?;
        let is_offer = |parsed: &&ParsedEvent| matches!(parsed.projection, Projection::Offer(_));
        kinds.extend(events.iter().any(is_offer).then_some(to_offer::NEXT_JOB));
        Ok(Some(AppliedEvents { events, kinds }))
    }

    /// Counts and logs what was committed.
    fn report(&self, events: &[(&UnreadEvent, &ReadOutcome)], started: Instant) {
        if events.is_empty() {
            return;
        }
        let mut tally = Tally::default();
        for (event, outcome) in events {
            log(event, outcome);
            tally.add(outcome, event.received_at);
        }
        let took = started.elapsed();
        let [read, ignored, wrong_mode, unreadable] =
            ["read", "ignored", "wrong_mode", "unreadable"].map(|state| tally.count(state));
        tracing::info!(read, ignored, wrong_mode, unreadable, ?took, "read a batch of events");
        self.metrics.batch_read(&tally, self.clock.now(), took);
    }
}

/// Records events of types that we do not project in the timeline, and mentions their accounts.
fn record_unprojected(
    events: &[&ParsedEvent],
    mentions: &mut Mentions,
    follow_ups: &mut FollowUps,
) {
    for (position, parsed) in events.iter().enumerate() {
        let event = &parsed.event;
        match &parsed.projection {
            Projection::GenerationFailure(id) => follow_ups.look_ups.generation_failure(id),
            Projection::Unprojected => {
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
                follow_ups.timeline.add(position, &entry);
                if let Some(Ok(account)) = event.account_id.as_deref().map(str::parse::<AccountId>)
                {
                    mentions.account(position, account);
                }
            }
            Projection::Offer(_) | Projection::Transaction(_) | Projection::Nothing => {}
        }
    }
}

fn log(event: &UnreadEvent, outcome: &ReadOutcome) {
    let (id, kind) = (&event.event_id, &event.event_type);
    match outcome {
        ReadOutcome::Read(None) => {
            tracing::debug!(event.id = id, event.r#type = kind, "read event");
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
}
