//! Pages of `letters`, the last changed first.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::database::Cursor;
use crate::letters::State;

/// A letter on a page, without its recipient and content.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LetterEntry {
    pub letter_id: String,
    pub offer_id: String,
    pub account_id: String,
    pub kind: String,
    pub state: String,
    pub reason: Option<String>,
    pub attempt: i32,
    pub relay_reply: Option<String>,
    pub created_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
}

/// The letters in these states before `before`, at most `limit`: a short walk along
/// `letters_state_changed` for each state.
pub async fn page(
    db: impl PgExecutor<'_>,
    states: &[State],
    before: &Cursor<String>,
    limit: i64,
) -> sqlx::Result<Vec<LetterEntry>> {
    let states: Vec<String> = states.iter().map(|state| state.as_str().to_owned()).collect();
    sqlx::query_as!(
        LetterEntry,
        r#"
        select walked.letter_id as "letter_id!", walked.offer_id as "offer_id!",
            walked.account_id as "account_id!", walked.kind as "kind!", walked.state as "state!",
            walked.reason as "reason?", walked.attempt as "attempt!",
            walked.relay_reply as "relay_reply?", walked.created_at as "created_at!",
            walked.changed_at as "changed_at!"
        from unnest($1::text[]) as chosen (state)
        cross join lateral (
            select letter_id, offer_id, account_id, kind, letters.state, reason, attempt,
                relay_reply, created_at, changed_at
            from letters
            where letters.state = chosen.state and (changed_at, letter_id) < ($2, $3)
            order by changed_at desc, letter_id desc
            limit $4
        ) as walked
        order by walked.changed_at desc, walked.letter_id desc
        limit $4
        "#,
        &states,
        before.created_at,
        before.id,
        limit,
    )
    .fetch_all(db)
    .await
}
