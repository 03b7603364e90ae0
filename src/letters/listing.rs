//! Letters as operators list and find them, newest first. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::State;

/// A letter in a list, without its content.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ListedLetter {
    /// `letter_…`; sorts by creation.
    pub letter_id: String,
    pub offer_id: String,
    pub account_id: String,
    pub kind: String,
    /// 0 for the letter of the schedule, then that of the operator's resend.
    pub resend_number: i16,
    pub state: String,
    pub reason: Option<String>,
    /// As last written; `None` before the first attempt.
    pub disclaimer_variant: Option<String>,
    pub attempt: i32,
    pub created_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
}

/// Selects letters; `None` selects all.
#[derive(Clone, Copy, Debug, Default)]
pub struct LetterFilter<'a> {
    pub state: Option<State>,
    /// As in `letters.reason`.
    pub reason: Option<&'a str>,
    /// Only letters older than this one.
    pub before: Option<&'a str>,
    pub limit: i64,
}

macro_rules! select_listed {
    ($condition:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            ListedLetter,
            "
            select letter_id, offer_id, account_id, kind, resend_number, state, reason,
                disclaimer_variant, attempt, created_at, changed_at
            from letters
            where "
                + $condition,
            $($argument),+
        )
    };
}

pub async fn list(
    db: impl PgExecutor<'_>,
    filter: &LetterFilter<'_>,
) -> sqlx::Result<Vec<ListedLetter>> {
    let LetterFilter { state, reason, before, limit } = *filter;
    // Two queries, so that each has a plan of its own: few letters are held, nearly all are sent.
    match state {
        Some(state) => {
            select_listed!(
                "
                state = $1 and ($2::text is null or reason = $2)
                    and ($3::text is null or letter_id < $3)
                order by letter_id desc
                limit $4
                ",
                state.as_str(),
                reason,
                before,
                limit,
            )
            .fetch_all(db)
            .await
        }
        None => {
            select_listed!(
                "
                ($1::text is null or reason = $1) and ($2::text is null or letter_id < $2)
                order by letter_id desc
                limit $3
                ",
                reason,
                before,
                limit,
            )
            .fetch_all(db)
            .await
        }
    }
}

/// The letter with this id or this Message-ID.
pub async fn find_by_id(db: impl PgExecutor<'_>, id: &str) -> sqlx::Result<Option<ListedLetter>> {
    select_listed!("letter_id = $1 or message_id = $1", id).fetch_optional(db).await
}

/// The newest letters that were sent, or may have been, to one of these recipients: addresses in
/// lower case, or as `delivery_attempts.recipient` keeps them after an erasure.
pub async fn sent_to(
    db: impl PgExecutor<'_>,
    recipients: &[String],
    limit: i64,
) -> sqlx::Result<Vec<ListedLetter>> {
    select_listed!(
        "
        letter_id in (
            select letter_id from delivery_attempts where lower(recipient) = any($1)
        )
        order by letter_id desc
        limit $2
        ",
        recipients,
        limit,
    )
    .fetch_all(db)
    .await
}
