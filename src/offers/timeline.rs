//! The timeline: what happened to an offer or an account, for operators and merchants.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

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

/// The entries of a set of changes, written together in the order of the changes.
#[derive(Debug, Default)]
#[must_use = "entries that are not inserted are lost"]
pub struct Entries(Vec<NewEntry>);

/// As [`Entry`].
#[derive(Debug)]
struct NewEntry {
    position: usize,
    offer_id: Option<String>,
    account_id: Option<String>,
    event_id: Option<String>,
    kind: String,
    status_before: Option<String>,
    status_after: Option<String>,
    note: Option<String>,
    happened_at: DateTime<Utc>,
}

impl Entries {
    /// Adds an entry of the change at this position. Entries of one change stay in the order in
    /// which they were added.
    pub fn add(&mut self, position: usize, entry: &Entry<'_>) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        self.0.push(NewEntry {
            position,
            offer_id: owned(entry.offer_id),
            account_id: owned(entry.account_id),
            event_id: owned(entry.event_id),
            kind: entry.kind.to_owned(),
            status_before: owned(entry.status_before),
            status_after: owned(entry.status_after),
            note: entry.note.map(storable),
            happened_at: entry.happened_at,
        });
    }

    /// Merges the entries of a subset of the changes: `positions` has the place of each.
    pub fn merge(&mut self, other: Self, positions: &[usize]) {
        self.0.extend(other.0.into_iter().map(|entry| NewEntry {
            position: positions.get(entry.position).copied().unwrap_or(usize::MAX),
            ..entry
        }));
    }

    /// Inserts the entries, each as [`add`] does.
    pub async fn insert(mut self, tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by_key(|entry| entry.position);
        let kinds: Vec<String> = self.0.iter().map(|entry| entry.kind.clone()).collect();
        let times: Vec<DateTime<Utc>> = self.0.iter().map(|entry| entry.happened_at).collect();
        let texts = |of: fn(&mut NewEntry) -> &mut Option<String>, all: &mut Vec<NewEntry>| {
            all.iter_mut().map(|entry| of(entry).take()).collect::<Vec<Option<String>>>()
        };
        let offers = texts(|entry| &mut entry.offer_id, &mut self.0);
        let accounts = texts(|entry| &mut entry.account_id, &mut self.0);
        let events = texts(|entry| &mut entry.event_id, &mut self.0);
        let before = texts(|entry| &mut entry.status_before, &mut self.0);
        let after = texts(|entry| &mut entry.status_after, &mut self.0);
        let notes = texts(|entry| &mut entry.note, &mut self.0);
        sqlx::query!(
            "
            insert into timeline_entries
                (offer_id, account_id, event_id, kind, status_before, status_after, note,
                happened_at, recorded_at)
            select offer_id, account_id, event_id, kind, status_before, status_after, note,
                happened_at, $9
            from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                $7::text[], $8::timestamptz[]) with ordinality as new (offer_id, account_id,
                event_id, kind, status_before, status_after, note, happened_at, position)
            order by position
            on conflict (event_id) do nothing
            ",
            &offers as &[Option<String>],
            &accounts as &[Option<String>],
            &events as &[Option<String>],
            &kinds,
            &before as &[Option<String>],
            &after as &[Option<String>],
            &notes as &[Option<String>],
            &times,
            now,
        )
        .execute(tx)
        .await
        .map(drop)
    }
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
