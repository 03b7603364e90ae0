//! Opens and withdraws many letters with one statement each.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::NewLetter;
use super::state::State;
use super::store::Letter;

/// A letter with the ids that it gets.
#[derive(Debug)]
pub(super) struct Identified<'a> {
    pub(super) letter_id: String,
    pub(super) message_id: String,
    pub(super) letter: &'a NewLetter<'a>,
}

/// Inserts letters. Returns the ids of those whose offer had none at this position.
pub(super) async fn insert_all(
    tx: &mut PgConnection,
    letters: &[Identified<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    let all = || letters.iter();
    let ids: Vec<String> = all().map(|new| new.letter_id.clone()).collect();
    let offers: Vec<String> = all().map(|new| new.letter.offer_id.to_owned()).collect();
    let accounts: Vec<String> = all().map(|new| new.letter.account_id.to_owned()).collect();
    let sequences: Vec<i16> = all().map(|new| new.letter.sequence).collect();
    let kinds: Vec<String> = all().map(|new| new.letter.kind.as_str().to_owned()).collect();
    let messages: Vec<String> = all().map(|new| new.message_id.clone()).collect();
    let inserted = sqlx::query_scalar!(
        "
        insert into letters
            (letter_id, offer_id, account_id, sequence, kind, message_id, created_at, changed_at)
        select letter_id, offer_id, account_id, sequence, kind, message_id, $7, $7
        from unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[])
            as new (letter_id, offer_id, account_id, sequence, kind, message_id)
        order by offer_id, sequence
        -- No constraint name: an older process may run on a newer schema.
        on conflict do nothing
        returning letter_id
        ",
        &ids,
        &offers,
        &accounts,
        &sequences,
        &kinds,
        &messages,
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Withdraws letters, each for its reason. Returns the ids of those that are still in the state
/// that the caller saw.
pub(super) async fn withdraw_all(
    tx: &mut PgConnection,
    letters: &[(Letter, String)],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    let ids: Vec<String> = letters.iter().map(|(letter, _)| letter.letter_id.clone()).collect();
    let seen: Vec<String> =
        letters.iter().map(|(letter, _)| letter.state.as_str().to_owned()).collect();
    let reasons: Vec<String> = letters.iter().map(|(_, reason)| reason.clone()).collect();
    let withdrawn = sqlx::query_scalar!(
        "
        with unchanged as (
            select letters.letter_id, seen.reason
            from unnest($1::text[], $2::text[], $3::text[]) as seen (letter_id, state, reason)
            join letters on letters.letter_id = seen.letter_id and letters.state = seen.state
            order by letters.offer_id, letters.letter_id
            for update of letters
        )
        update letters
        set state = $4, reason = unchanged.reason, sent_at = null, changed_at = $5
        from unchanged
        where letters.letter_id = unchanged.letter_id
        returning letters.letter_id
        ",
        &ids,
        &seen,
        &reasons,
        State::Withdrawn.as_str(),
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(withdrawn.into_iter().collect())
}
