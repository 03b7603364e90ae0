//! What happened to an offer, a line each, for people; and the one place where an offer's status moves.
//!
//! Every stage writes here. What a status that we hear of does to the one that we know is in one
//! table ([`transition`]); where that cannot tell, Stripe is asked ([`ask_stripe`]).

mod store;
pub mod transition;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::queue::{self, Queued};

pub use store::{Line, add, hold_status, lock_status, move_status, of_offer};

/// The kind of the jobs that ask Stripe about an offer.
pub const LOOK_AT_OFFER: &str = "look_at_offer";

/// Queues a job that asks Stripe how an offer stands, in the caller's transaction: one for each
/// offer and occasion, queued anew where the one before is over.
pub async fn ask_stripe(
    tx: &mut PgConnection,
    offer_id: &str,
    occasion: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let subject = format!("{offer_id}/{occasion}");
    if queue::enqueue(&mut *tx, LOOK_AT_OFFER, &subject, now).await? == Queued::Again {
        queue::revive(tx, LOOK_AT_OFFER, &subject, now).await?;
    }
    Ok(())
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The offer, where the line is about one.
    pub offer_id: Option<&'a str>,
    /// The connected account.
    pub account_id: Option<&'a str>,
    /// The event that caused it. A second line for the same event is not written.
    pub event_id: Option<&'a str>,
    /// Stripe's event type, or our own `letter.sent`, `offer.delivered`, …
    pub what: &'a str,
    /// The status that was replaced, where one was.
    pub status_before: Option<&'a str>,
    /// The status that the offer now has, or that the event spoke of.
    pub status_after: Option<&'a str>,
    /// For a person. Never an address.
    pub note: Option<&'a str>,
    /// When it happened.
    pub happened_at: DateTime<Utc>,
}

impl<'a> Entry<'a> {
    /// A line about an offer that we ourselves did something for.
    pub fn ours(offer_id: &'a str, account_id: &'a str, what: &'a str, now: DateTime<Utc>) -> Self {
        Self {
            offer_id: Some(offer_id),
            account_id: Some(account_id),
            event_id: None,
            what,
            status_before: None,
            status_after: None,
            note: None,
            happened_at: now,
        }
    }

    /// The same line with a note.
    #[must_use]
    pub fn noting(self, note: &'a str) -> Self {
        Self { note: Some(note), ..self }
    }
}
