//! The SQL of the timeline. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::Entry;
use crate::database::storable;

/// Writes a line. A line for an event that has one already is left as it is.
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

/// A line, for a person.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Line {
    /// When it happened.
    pub happened_at: DateTime<Utc>,
    /// Stripe's event type, or our own word.
    pub kind: String,
    /// The status that was replaced.
    pub status_before: Option<String>,
    /// The status that the offer then had, or that was told.
    pub status_after: Option<String>,
    /// Why.
    pub note: Option<String>,
}

/// What happened to an offer, in order.
pub async fn of_offer(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as!(
        Line,
        "
        select happened_at, kind, status_before, status_after, note
        from timeline_entries
        where offer_id = $1
        order by timeline_entry_id
        ",
        offer_id,
    )
    .fetch_all(db)
    .await
}

/// An entry of a page of a timeline.
#[derive(Clone, Debug)]
pub struct PageEntry {
    /// The cursor of the page that follows this entry.
    pub timeline_entry_id: i64,
    pub happened_at: DateTime<Utc>,
    pub kind: String,
    pub status_before: Option<String>,
    pub status_after: Option<String>,
    pub note: Option<String>,
}

/// A page of an offer's timeline, in the order in which it was recorded: entries after the id
/// `after`, at most `limit`.
pub async fn page_of_offer(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<PageEntry>> {
    sqlx::query_as!(
        PageEntry,
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
