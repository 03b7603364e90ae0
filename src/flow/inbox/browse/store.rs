//! Pages of `inbox_events` and `malformed_bodies`, newest first.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::database::Cursor;
use crate::flow::inbox::store::EventSummary;

/// Which events have a page of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum InboxList {
    All,
    Unread,
    Unreadable,
}

/// Events before `before`, at most `limit`.
pub async fn events(
    db: impl PgExecutor<'_>,
    list: InboxList,
    before: &Cursor<String>,
    limit: i64,
) -> sqlx::Result<Vec<EventSummary>> {
    // One query per list, with the state as a literal: only then can it use the partial index.
    macro_rules! select_events {
        ($condition:literal) => {
            sqlx::query_as!(
                EventSummary,
                "
                select event_id, event_type, state, note, object_id, account_id, received_at
                from inbox_events
                where (received_at, event_id) < ($1, $2) "
                    + $condition
                    + " order by received_at desc, event_id desc limit $3",
                before.created_at,
                before.id,
                limit,
            )
            .fetch_all(db)
            .await
        };
    }
    match list {
        InboxList::All => select_events!(""),
        InboxList::Unread => select_events!("and state = 'unread'"),
        InboxList::Unreadable => select_events!("and state = 'unreadable'"),
    }
}

/// A body with a valid signature that is no event.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MalformedBody {
    /// In hexadecimal.
    pub body_sha256: String,
    /// The beginning of the body.
    pub excerpt: String,
    pub bytes: i32,
    pub reason: String,
    /// How often it was received.
    pub receipts: i64,
    pub first_received_at: DateTime<Utc>,
    pub last_received_at: DateTime<Utc>,
}

/// The bodies that were received last, at most `limit`. There are few: the sender knows the secret.
pub async fn malformed(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<MalformedBody>> {
    let rows = sqlx::query!(
        r#"
        select body_sha256, substring(body for 2000) as "excerpt!", length(body) as "bytes!",
            reason, receipts, first_received_at, last_received_at
        from malformed_bodies
        order by last_received_at desc
        limit $1
        "#,
        limit,
    )
    .fetch_all(db)
    .await?;
    let described = rows.into_iter().map(|row| MalformedBody {
        body_sha256: hex::encode(row.body_sha256),
        excerpt: String::from_utf8_lossy(&row.excerpt).into_owned(),
        bytes: row.bytes,
        reason: row.reason,
        receipts: row.receipts,
        first_received_at: row.first_received_at,
        last_received_at: row.last_received_at,
    });
    Ok(described.collect())
}
