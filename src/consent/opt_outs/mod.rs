//! Opt-outs: accounts that receive no letters about Capital. They take effect at once, also for
//! letters that are already queued.

mod link;
pub mod store;

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::format::text;
use crate::letters::reason::OPTED_OUT;
use crate::letters::store::{State, find_waiting_of_account};
use crate::letters::transition;

pub use link::UnsubscribeLinks;

/// What recording an opt-out changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptOutOutcome {
    Inserted,
    /// The account was already opted out; nothing changed.
    Duplicate,
}

/// Who requested an opt-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OptOutSource {
    /// An operator, by the command line.
    Operator,
    /// The merchant, on the page that every letter links to.
    Link,
    /// The merchant's mail program (RFC 8058).
    OneClick,
    /// The platform, through the API.
    Api,
    /// An imported list.
    Import,
    /// The merchant, by a spam complaint.
    Complaint,
    /// The merchant, through an unsubscribe link of the mail provider.
    Sender,
}

impl OptOutSource {
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;
    /// Opt-outs that the page behind the link can end. Operators and the API can end all.
    pub const BY_LINK: [Self; 2] = [Self::Link, Self::OneClick];

    /// As in `opt_outs.source`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A request to opt an account out.
#[derive(Clone, Copy, Debug)]
pub struct OptOutRequest<'a> {
    /// `acct_…`
    pub account_id: &'a str,
    pub source: OptOutSource,
    pub note: Option<&'a str>,
    pub since: DateTime<Utc>,
}

/// Records an opt-out and suppresses the account's waiting letters, in the caller's transaction.
/// Held ones are checked again before they are sent. An earlier opt-out remains as it was recorded.
pub async fn opt_out(
    tx: &mut PgConnection,
    request: &OptOutRequest<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<OptOutOutcome> {
    let outcome = store::insert(&mut *tx, request).await?;
    // The opt-out is recorded first: a letter created meanwhile checks it again before it is sent.
    for letter in find_waiting_of_account(&mut *tx, request.account_id).await? {
        // Letters in progress are not waiting; the sender checks opt-outs again before the data
        // phase.
        transition::cancel(&mut *tx, &letter, State::Suppressed, OPTED_OUT, now).await?;
    }
    Ok(outcome)
}

/// A comment on an opt-out: one short line of visible characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a note is one line of at most {MAX_NOTE_CHARS} characters")]
pub struct NoteError;

/// A sentence or two, or a reference to a record elsewhere.
const MAX_NOTE_CHARS: usize = 500;

impl Note {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(given: &str) -> Result<Self, NoteError> {
        let given = given.trim();
        // A control character is an error. Invisible characters are removed: they often come with
        // copied text.
        let text = text::plain(given);
        let is_short = (1..=MAX_NOTE_CHARS).contains(&text.chars().count());
        if is_short && !given.contains(char::is_control) { Ok(Self(text)) } else { Err(NoteError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_short_visible_line() {
        assert_eq!("  asked by phone ".parse::<Note>().unwrap().as_str(), "asked by phone");
        for bad in ["", "  ", "two\nlines", "a\0b", &"é".repeat(501)] {
            assert_eq!(bad.parse::<Note>(), Err(NoteError), "{bad:?}");
        }
        assert!("é".repeat(500).parse::<Note>().is_ok());
        let note = "by \u{202e}phone\u{200b}\u{2066}".parse::<Note>().unwrap();
        assert_eq!(note.as_str(), "by phone");
        assert!("\u{2800}\u{115f}".parse::<Note>().is_err());
    }
}
