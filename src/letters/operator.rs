//! What an operator can do to a letter: resend it or withdraw it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::store::{self, State};
use super::{reason, transition};

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

/// Withdraws the waiting and held letters of an offer, in the caller's transaction. Returns their
/// number.
pub async fn withdraw(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    let mut withdrawn = 0;
    for letter in store::lock_of_offer(&mut *tx, offer_id).await? {
        if !matches!(letter.state, State::Held | State::Waiting) {
            continue;
        }
        transition::cancel(&mut *tx, &letter, State::Withdrawn, reason::OPERATOR, now).await?;
        withdrawn += 1;
    }
    Ok(withdrawn)
}
