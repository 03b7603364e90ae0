//! Accounts that want no letters about Capital. Honoured at once, also by letters that already wait.

mod link;
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::moves;
use super::store::{State, find_waiting_of_account};

pub use link::Links;

/// Whether an account was opted out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptedOut {
    /// It was.
    First,
    /// It was before; nothing changed.
    Again,
}

/// All who can make an opt-out, as in `opt_outs.source`.
pub const SOURCES: [&str; 3] = ["operator", "link", "one_click"];
/// Those of them that the link in the letters can take back: what a person entered, a person ends.
pub const BY_LINK: [&str; 2] = ["link", "one_click"];
/// As in `letters.reason`.
pub(super) const OPTED_OUT: &str = "opted_out";

/// Writes down that an account wants no letters, and suppresses those that have not left, in the caller's transaction.
pub async fn opt_out(
    tx: &mut PgConnection,
    account_id: &str,
    source: &str,
    note: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<OptedOut> {
    let opted_out = store::add(&mut *tx, account_id, source, note, now).await?;
    for letter in find_waiting_of_account(&mut *tx, account_id).await? {
        moves::stop(&mut *tx, &letter, State::Suppressed, OPTED_OUT, now).await?;
    }
    Ok(opted_out)
}
