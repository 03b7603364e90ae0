//! Approvals of wordings. An offer letter is a financial promotion: Stripe approves its wording per
//! market, and every change anew (<https://docs.stripe.com/capital/marketing>).
//!
//! A hash covers everything in a letter except the merchant's own data: templates, disclaimer,
//! program name, sender, postal address, contacts. With a live key, a letter goes out only if its
//! hash is approved for its market; otherwise it is held until an approval releases it. Test data
//! needs no approval.

pub mod store;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::letters::reason::{NO_DISCLAIMER, NOT_APPROVED};
use crate::letters::store::find_held_for;
use crate::letters::transition;

use crate::database::Pool;

/// Maximum number of letters per transaction.
const BATCH: i64 = 200;

/// The first 32 hex digits of the SHA-256 of these parts. The lengths are hashed too, so that
/// moving text between parts changes the hash.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// Stripe's approval of a wording for a market.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    /// The two-letter code that Stripe uses.
    pub market: &'a str,
    pub reference: &'a str,
    /// The operator who entered it.
    pub approved_by: &'a str,
}

/// Records an approval of several wordings, in the caller's transaction. Call [`release`] after the
/// commit.
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

/// Retries the letters that are held for a missing disclaimer or approval, and returns their
/// number. Letters that still lack one are held again. Works in small transactions, so that
/// thousands of letters do not block writers of their offers. After a crash the rest stays held
/// until the next start.
pub async fn release(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<usize> {
    let mut released = 0;
    // Each letter once: an early one may be held again before the last one is released.
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
