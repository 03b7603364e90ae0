//! What an operator can do to a letter: retry it, send it once more, or withdraw it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{self, Letter, State};
use super::{SEND_JOB, reason, transition};
use crate::offers;
use crate::offers::timeline::{self, Entry};
use crate::queue;

/// Retries the oldest letter of an offer that is held, rejected or bounced, in the caller's
/// transaction. Returns the number of letters, 0 or 1. A letter that may have been sent keeps its
/// Message-ID, and the job checks the offer as usual.
pub async fn resend(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    let letters = store::lock_of_offer(&mut *tx, offer_id).await?;
    // One at a time: later letters about the offer wait until this one is settled.
    let stopped = letters
        .iter()
        .find(|letter| matches!(letter.state, State::Held | State::Rejected | State::Bounced));
    let Some(letter) = stopped else { return Ok(0) };
    transition::retry(tx, letter, Some("resent by an operator"), now).await?;
    Ok(1)
}

/// The effect of [`send_again`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentAgain {
    /// The id of the new letter, which waits to be sent.
    Queued(String),
    /// The offer's first letter was never sent.
    NotSent,
    /// The first letter, or an earlier resend, is not settled yet.
    Unsettled { letter_id: String, state: State },
}

/// Opens one more letter about an offer whose first one was sent, in the caller's transaction. It is
/// a letter of its own, with its own id, job and Message-ID: nothing recognizes it as a repetition.
/// It is written anew and checked like any other; the first letter, its evidence and its delivery
/// stay as they are. Of two calls at once the second finds the letter of the first.
pub async fn send_again(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<SentAgain> {
    // The lock comes before the letters are read: it orders those who open a resend.
    offers::store::lock(&mut *tx, offer_id).await?;
    let mut letters = store::lock_of_offer(&mut *tx, offer_id).await?;
    letters.retain(|letter| letter.sequence == 0);
    if let Some(Letter { letter_id, state, .. }) =
        letters.iter().find(|letter| !is_settled(letter.state))
    {
        return Ok(SentAgain::Unsettled { letter_id: letter_id.clone(), state: *state });
    }
    let Some(sent) = letters.iter().find(|letter| letter.state == State::Sent) else {
        return Ok(SentAgain::NotSent);
    };
    let letter_id = format!("letter_{}", Uuid::now_v7().simple());
    // Not the domain of today's settings, which the command line need not know.
    let domain = sent.message_id.split_once('@').map_or("localhost", |(_, domain)| domain);
    let message_id = format!("{letter_id}@{domain}");
    store::insert_resend(&mut *tx, &letter_id, &message_id, sent, now).await?;
    let entry = Entry::ours(offer_id, &sent.account_id, "letter.opened", now);
    let note = format!("{letter_id}, sent again by an operator");
    timeline::add(&mut *tx, &entry.with_note(&note), now).await?;
    queue::enqueue(tx, SEND_JOB, &letter_id, now).await?;
    Ok(SentAgain::Queued(letter_id))
}

/// Whether the outcome of a letter is known, and no attempt follows by itself.
fn is_settled(state: State) -> bool {
    match state {
        State::Waiting | State::Sending | State::Uncertain | State::Held => false,
        State::Sent | State::Rejected | State::Withdrawn | State::Suppressed | State::Bounced => {
            true
        }
    }
}

/// Retries a letter if it is held, in the caller's transaction. Returns it as it was; `None` if it
/// does not exist.
pub async fn release(
    tx: &mut PgConnection,
    letter_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Letter>> {
    let letter = store::lock(&mut *tx, letter_id).await?;
    if let Some(letter) = letter.as_ref().filter(|letter| letter.state == State::Held) {
        transition::retry(tx, letter, Some("released by an operator"), now).await?;
    }
    Ok(letter)
}

/// Withdraws a letter if it waits or is held, in the caller's transaction. Returns it as it was;
/// `None` if it does not exist.
pub async fn withdraw_letter(
    tx: &mut PgConnection,
    letter_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Letter>> {
    let letter = store::lock(&mut *tx, letter_id).await?;
    if let Some(letter) = letter.as_ref().filter(|letter| may_withdraw(letter.state)) {
        transition::cancel(tx, letter, State::Withdrawn, reason::OPERATOR, now).await?;
    }
    Ok(letter)
}

/// Whether a letter in this state can be withdrawn: it waits, or is held.
pub fn may_withdraw(state: State) -> bool {
    matches!(state, State::Held | State::Waiting)
}

/// Withdraws the waiting and held letters of an offer, in the caller's transaction. Returns their
/// number.
pub async fn withdraw(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    let mut withdrawn = 0;
    for letter in store::lock_of_offer(&mut *tx, offer_id).await? {
        if !may_withdraw(letter.state) {
            continue;
        }
        transition::cancel(&mut *tx, &letter, State::Withdrawn, reason::OPERATOR, now).await?;
        withdrawn += 1;
    }
    Ok(withdrawn)
}
