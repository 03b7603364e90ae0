//! Accounts that want no letters about Capital. Honoured at once, also by letters that already wait.

mod link;
mod note;
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::letters::reason::OPTED_OUT;
use crate::letters::store::{State, find_waiting_of_account};
use crate::letters::transition;

pub use link::Links;
pub use note::{Note, NoteError};

/// Whether an account was opted out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptedOut {
    /// It was.
    Inserted,
    /// It was before; nothing changed.
    Duplicate,
}

/// Who says that an account wants no letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// A person, by the command.
    Operator,
    /// The merchant, by the page that the letters link to.
    Link,
    /// The merchant's mail program (RFC 8058).
    OneClick,
    /// The platform's own program.
    Api,
    /// A list that was kept elsewhere.
    Import,
    /// The merchant, by calling a letter spam.
    Complaint,
    /// The merchant, by a link of the mail sender's.
    Sender,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Operator,
        Self::Link,
        Self::OneClick,
        Self::Api,
        Self::Import,
        Self::Complaint,
        Self::Sender,
    ];
    /// Those of them that the link in the letters can take back: what a person entered, a person ends.
    pub const BY_LINK: [Self; 2] = [Self::Link, Self::OneClick];

    /// As in `opt_outs.source`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// That an account wants no letters.
#[derive(Clone, Copy, Debug)]
pub struct OptOutRequest<'a> {
    /// The connected account.
    pub account_id: &'a str,
    /// Who says so.
    pub source: Source,
    /// In whose words.
    pub note: Option<&'a str>,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Writes down that an account wants no letters, and suppresses those that have not left, in the caller's transaction. One that
/// wanted none before stays as it was written down then.
pub async fn opt_out(
    tx: &mut PgConnection,
    request: &OptOutRequest<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<OptedOut> {
    let opted_out = store::add(&mut *tx, request).await?;
    for letter in find_waiting_of_account(&mut *tx, request.account_id).await? {
        transition::cancel(&mut *tx, &letter, State::Suppressed, OPTED_OUT, now).await?;
    }
    Ok(opted_out)
}
