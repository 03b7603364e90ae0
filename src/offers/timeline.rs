//! The timeline: what happened to an offer or an account, for operators and merchants.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::database::{export_rows, storable};

/// A new entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub offer_id: Option<&'a str>,
    pub account_id: Option<&'a str>,
    /// The event that caused the entry. There is at most one entry per event.
    pub event_id: Option<&'a str>,
    /// Stripe's event type, or our own `letter.sent`, `offer.delivered`, …
    pub kind: &'a str,
    /// The status that was replaced, if the entry records a change.
    pub status_before: Option<&'a str>,
    /// The status of the offer after the entry, or the one that the event reported.
    pub status_after: Option<&'a str>,
    /// Free text. Never contains an email address.
    pub note: Option<&'a str>,
    pub happened_at: DateTime<Utc>,
}

impl<'a> Entry<'a> {
    /// An entry about an action of this service.
    pub fn ours(offer_id: &'a str, account_id: &'a str, kind: &'a str, now: DateTime<Utc>) -> Self {
        Self {
            offer_id: Some(offer_id),
            account_id: Some(account_id),
            event_id: None,
            kind,
            status_before: None,
            status_after: None,
            note: None,
            happened_at: now,
        }
    }

    #[must_use]
    pub fn with_note(self, note: &'a str) -> Self {
        Self { note: Some(note), ..self }
    }
}

/// Inserts an entry. If the event has an entry already, nothing changes.
pub async fn add(
    db: impl PgExecutor<'_>,
    entry: &Entry<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into timeline_entries
            (offer_id, account_id, event_id, kind, status_before, status_after, note, happened_at,
            recorded_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (event_id) do nothing
        ",
        entry.offer_id,
        entry.account_id,
        entry.event_id,
        entry.kind,
        entry.status_before,
        entry.status_after,
        entry.note.map(storable),
        entry.happened_at,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// When the account's latest entry was recorded.
pub async fn last_recorded_at(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "
        select recorded_at
        from timeline_entries
        where account_id = $1
        order by timeline_entry_id desc
        limit 1
        ",
        account_id,
    )
    .fetch_optional(db)
    .await
}

/// A stored entry.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TimelineEntry {
    /// The cursor of the page that follows this entry.
    #[serde(skip)]
    pub timeline_entry_id: i64,
    pub happened_at: DateTime<Utc>,
    /// As [`Entry::kind`].
    pub kind: String,
    /// As [`Entry::status_before`].
    pub status_before: Option<String>,
    /// As [`Entry::status_after`].
    pub status_after: Option<String>,
    pub note: Option<String>,
}

/// The whole timeline of an offer, in the order of recording.
pub async fn of_offer(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Vec<TimelineEntry>> {
    page_of_offer(db, offer_id, 0, i64::MAX).await
}

/// A page of an offer's timeline, in the order of recording: entries after the id `after`, at most
/// `limit`.
pub async fn page_of_offer(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<TimelineEntry>> {
    sqlx::query_as!(
        TimelineEntry,
        "
        select timeline_entry_id, happened_at, kind, status_before, status_after, note
        from timeline_entries
        where offer_id = $1 and timeline_entry_id > $2
        order by timeline_entry_id
        limit $3
        ",
        offer_id,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

// By account and by offer.
export_rows!(
    export,
    "
    select *
    from timeline_entries
    where account_id = any($1) or offer_id = any($1)
    order by timeline_entry_id
    "
);
