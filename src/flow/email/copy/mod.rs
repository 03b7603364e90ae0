//! Which words may go out. An offer letter is a financial promotion: Stripe approves its wording market by market, and every change of it
//! anew (<https://docs.stripe.com/capital/marketing>).
//!
//! Everything that makes up a letter but the merchant's own data (templates, disclaimer, program name, sender, postal address) has a
//! hash. With a live key a letter goes out only if that hash was approved for its market; otherwise it is held, and an approval
//! releases it. Test data need no approval.

mod disclaimer;
pub mod store;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

pub use disclaimer::{Disclaimer, DisclaimerError, Disclaimers};

use super::moves;
use super::store::find_held_for;

/// As in `letters.reason`: there is no wording of ours that may stand under this letter.
pub(super) const NO_DISCLAIMER: &str = "no_disclaimer";
/// As in `letters.reason`: nobody approved these words for this market.
pub(super) const NOT_APPROVED: &str = "copy_not_approved";

/// Thirty-two digits of the hash of these parts, each told from the next by its length.
pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
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

/// Writes down that Stripe approved these wordings, and has the letters sent that were held for want of it, in the caller's
/// transaction. Says how many; what is still not approved among them will be held again.
pub async fn approve(
    tx: &mut PgConnection,
    copy_hashes: &[String],
    approval: &Approval<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    for copy_hash in copy_hashes {
        store::approve(&mut *tx, copy_hash, approval, now).await?;
    }
    release(tx, now).await
}

/// Has the letters looked at again that are held for want of a disclaimer or of an approval, in the caller's transaction: what they
/// lacked may be there now. Says how many.
pub async fn release(tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<usize> {
    let held = find_held_for(&mut *tx, &[NO_DISCLAIMER, NOT_APPROVED]).await?;
    for letter in &held {
        moves::try_again(&mut *tx, letter, None, now).await?;
    }
    Ok(held.len())
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
