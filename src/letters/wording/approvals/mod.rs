//! Which words may go out. An offer letter is a financial promotion: Stripe approves its wording market by market, and every change of it
//! anew (<https://docs.stripe.com/capital/marketing>).
//!
//! Everything that makes up a letter but the merchant's own data (templates, disclaimer, program name, sender, postal address) has a
//! hash. With a live key a letter goes out only if that hash was approved for its market; otherwise it is held, and an approval
//! releases it. Test data need no approval.

pub mod store;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::letters::reason::{NO_DISCLAIMER, NOT_APPROVED};
use crate::letters::store::find_held_for;
use crate::letters::transition;

use crate::database::Pool;

/// Letters that one transaction releases: as many as the reminders that one opens.
const BATCH: i64 = 200;

/// Thirty-two digits of the hash of these parts, each told from the next by its length.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// Stripe's approval of some wording for a market.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    /// Two letters, as Stripe counts markets.
    pub market: &'a str,
    /// Stripe's reference.
    pub reference: &'a str,
    /// Who enters it.
    pub approved_by: &'a str,
}

/// Writes down that Stripe approved these wordings, in the caller's transaction. The letters that were held for want of it go on
/// with [`release`].
pub async fn approve(
    tx: &mut PgConnection,
    copy_hashes: &[String],
    approval: &Approval<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for copy_hash in copy_hashes {
        store::approve(&mut *tx, copy_hash, approval, now).await?;
    }
    Ok(())
}

/// Has the letters looked at again that are held for want of a disclaimer or of an approval: what they lacked may be there now. Says
/// how many; what still lacks it will be held again. In small transactions, each offer's letters in one order: thousands may be held,
/// and whoever writes about their offers must not wait. A crash in the midst leaves the rest held until a process starts.
pub async fn release(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<usize> {
    let mut released = 0;
    // Through all of them once: the first may be held again before the last is released.
    let mut after = (String::new(), String::new());
    loop {
        let mut tx = db.begin().await?;
        let held = find_held_for(&mut *tx, &[NO_DISCLAIMER, NOT_APPROVED], &after, BATCH).await?;
        for letter in &held {
            transition::retry(&mut tx, letter, None, now).await?;
        }
        tx.commit().await?;
        let Some(last) = held.last() else { return Ok(released) };
        after = (last.offer_id.clone(), last.letter_id.clone());
        released += held.len();
    }
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn a_hash_tells_where_one_part_ends_and_the_next_begins() {
        assert_eq!(hash(["ab", "c"]), hash(["ab", "c"]));
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
        assert_ne!(hash(["ab", "c"]), hash(["ab", "c", ""]));
        assert_eq!(hash(["x"]).len(), 32);
    }
}
