//! A letter's change of state, and the line in the timeline that tells of it: always the two together.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::store::{self, Letter, Move};
use crate::timeline::{self, Entry};

/// As in `letters.reason`, of a letter that waits although it may have been sent.
pub(super) const UNCERTAIN: &str = "uncertain";
/// As in `letters.reason`, of a letter whose last attempt failed.
pub(super) const GAVE_UP: &str = "gave_up";

/// Changes the state and says so in the timeline. A letter that is not in the state to start from is left alone.
pub(super) async fn shift(
    tx: &mut PgConnection,
    letter: &Letter,
    to: &Move<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if store::change(&mut *tx, &letter.letter_id, to, now).await? {
        let what = format!("letter.{}", to.to.as_str());
        let note = to.relay_answer.or(to.reason);
        let entry = Entry { note, ..Entry::ours(&letter.offer_id, &letter.account_id, &what, now) };
        timeline::add(tx, &entry, now).await?;
    }
    Ok(())
}
