//! What a person can do to a letter: send again what was stopped, and stop what was not sent.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::store::{self, State};
use super::{reason, transition};

/// Has the letters of an offer sent again that are held, rejected or came back, in the caller's transaction. Says how many. What
/// may have been sent before goes out under the same Message-ID; whether the offer is still open is looked at as always.
pub async fn resend(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    let mut resent = 0;
    for letter in store::lock_of_offer(&mut *tx, offer_id).await? {
        if !matches!(letter.state, State::Held | State::Rejected | State::Bounced) {
            continue;
        }
        transition::retry(&mut *tx, &letter, Some("sent again by hand"), now).await?;
        resent += 1;
        // One at a time: what came later about the same offer follows when this one is settled.
        break;
    }
    Ok(resent)
}

/// Withdraws the letters of an offer that wait or are held, in the caller's transaction. Says how many.
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
