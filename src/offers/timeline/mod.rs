//! The timeline: what happened to an offer, an entry each, for people.

mod store;

use chrono::{DateTime, Utc};

pub use store::{Line, add, of_offer};
pub use store::{PageEntry, page_of_offer};

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
    pub kind: &'a str,
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
    pub fn ours(offer_id: &'a str, account_id: &'a str, kind: &'a str, now: DateTime<Utc>) -> Self {
        Self {
            offer_id: Some(offer_id),
            account_id: Some(account_id),
            event_id: None,
            kind,
            status_before: None,
            status_after: None,
            note: None,
            happened_at: now,
        }
    }

    /// The same line with a note.
    #[must_use]
    pub fn with_note(self, note: &'a str) -> Self {
        Self { note: Some(note), ..self }
    }
}
