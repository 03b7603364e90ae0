//! A letter's change of state, and the line in the timeline that tells of it: always the two together.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::SEND_JOB;
use super::reason::GAVE_UP;
use super::store::{self, Letter, State, Transition};
use crate::offers::timeline::{self, Entry};
use crate::queue;

/// Changes the state and says so in the timeline. A letter that is not in the state to start from is left alone: false.
pub async fn apply(
    tx: &mut PgConnection,
    letter: &Letter,
    to: &Transition<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let is_moved = store::change(&mut *tx, &letter.letter_id, to, now).await?;
    if is_moved {
        let what = format!("letter.{}", to.to.as_str());
        let note = to.relay_reply.or(to.reason);
        let entry = Entry { note, ..Entry::ours(&letter.offer_id, &letter.account_id, &what, now) };
        timeline::add(tx, &entry, now).await?;
    }
    Ok(is_moved)
}

/// Ends a letter that has not left, with its job: there is nothing left to do.
pub async fn cancel(
    tx: &mut PgConnection,
    letter: &Letter,
    to: State,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let end = Transition { from: letter.state, to, reason: Some(reason), relay_reply: None };
    // One that somebody moved meanwhile keeps its job: it would wait for ever.
    if apply(&mut *tx, letter, &end, now).await? {
        queue::cancel(tx, SEND_JOB, &letter.letter_id, now).await?;
    }
    Ok(())
}

/// Has a letter tried again that was stopped, with its job from the first attempt. `note` says why, where somebody said so.
pub async fn retry(
    tx: &mut PgConnection,
    letter: &Letter,
    note: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let again =
        Transition { from: letter.state, to: State::Waiting, reason: None, relay_reply: note };
    apply(&mut *tx, letter, &again, now).await?;
    queue::requeue(tx, SEND_JOB, &letter.letter_id, now).await?;
    Ok(())
}

/// Tries the first letter of an offer again whose job was given up, in the caller's transaction: Stripe still calls the offer
/// undelivered. At most once an hour, so that a letter that cannot be sent does not take up every reconciliation.
pub async fn retry_given_up(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let letters = store::lock_of_offer(&mut *tx, offer_id).await?;
    let is_given_up = |letter: &&Letter| {
        letter.sequence == 0
            && letter.state == State::Held
            && letter.reason.as_deref() == Some(GAVE_UP)
    };
    let Some(letter) = letters.iter().find(is_given_up) else { return Ok(()) };
    if queue::requeue_dead(&mut *tx, SEND_JOB, &letter.letter_id, now).await? {
        let note = Some("tried again by reconciliation");
        let again =
            Transition { from: State::Held, to: State::Waiting, reason: None, relay_reply: note };
        apply(tx, letter, &again, now).await?;
        tracing::warn!(
            offer.id = offer_id,
            letter.id = letter.letter_id,
            "reconciliation tries a letter again that was given up"
        );
    }
    Ok(())
}
