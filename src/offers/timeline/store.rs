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
