//! Letters as operators list and find them. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::State;
use crate::database::Cursor;

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

/// Where a letter goes, as last written: `None` before that, and once erased.
#[derive(Clone, Debug)]
pub struct Addressee {
    pub letter_id: String,
    pub recipient: Option<String>,
    pub locale: Option<String>,
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

/// Newest first.
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

/// Where these letters go.
pub async fn addressees(
    db: impl PgExecutor<'_>,
    letter_ids: &[String],
) -> sqlx::Result<Vec<Addressee>> {
    sqlx::query_as!(
        Addressee,
        "select letter_id, recipient, locale from letters where letter_id = any($1)",
        letter_ids,
    )
    .fetch_all(db)
    .await
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

/// The letters in these states that changed before `before`, the last changed first: a short walk
/// along `letters_state_changed` for each state.
pub async fn last_changed(
    db: impl PgExecutor<'_>,
    states: &[State],
    before: &Cursor<String>,
    limit: i64,
) -> sqlx::Result<Vec<ListedLetter>> {
    let states: Vec<String> = states.iter().map(|state| state.as_str().to_owned()).collect();
    sqlx::query_as!(
        ListedLetter,
        r#"
        select walked.letter_id as "letter_id!", walked.offer_id as "offer_id!",
            walked.account_id as "account_id!", walked.kind as "kind!",
            walked.resend_number as "resend_number!", walked.state as "state!",
            walked.reason as "reason?", walked.disclaimer_variant as "disclaimer_variant?",
            walked.attempt as "attempt!", walked.created_at as "created_at!",
            walked.changed_at as "changed_at!"
        from unnest($1::text[]) as chosen (state)
        cross join lateral (
            select letter_id, offer_id, account_id, kind, resend_number, letters.state, reason,
                disclaimer_variant, attempt, created_at, changed_at
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
