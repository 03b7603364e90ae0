//! Approvals of wordings. An offer letter is a financial promotion: Stripe approves its wording per
//! market, and every change anew (<https://docs.stripe.com/capital/marketing>). So is the Capital
//! section of a merchant with an open offer.
//!
//! A hash covers everything in a letter except the merchant's data and Stripe's facts about the
//! market (`stripe/market.rs`): templates, disclaimer, program name, sender, postal address,
//! contacts; not logo and color. With a live key, a letter goes out only if its hash is approved
//! for its market; otherwise it is held until it is approved. Test data needs no approval.
//!
//! An approval is checked when a letter is written (`flow::email`), in the transaction that commits
//! `sending` (`letters::evidence`), which decides, and before the Capital section shows an open
//! offer. An approval can be withdrawn. That touches no letter: each is held when its job next
//! runs. [`retry_held`] retries them, after an approval and at each start of a worker.

pub mod store;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::letters::reason::{NO_DISCLAIMER, NOT_APPROVED};
use crate::letters::store::find_held_for;
use crate::letters::transition;
use crate::letters::wording::Disclaimer;

use crate::database::Pool;
use crate::format::locale::Language;
use store::RecordedApproval;

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

/// The name of the Capital section among the kinds of letters.
pub const CAPITAL_SECTION: &str = "capital_section";

/// A wording that needs an approval: a kind of letter or the Capital section, with a disclaimer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyId {
    /// As returned by [`hash`].
    pub hash: String,
    pub kind: &'static str,
    pub language: Language,
    pub disclaimer_variant: String,
    /// The disclaimer's; `None` if it belongs to no known market.
    pub market: Option<String>,
}

impl CopyId {
    pub fn new(kind: &'static str, disclaimer: &Disclaimer, hash: String) -> Self {
        Self {
            hash,
            kind,
            language: disclaimer.language,
            disclaimer_variant: disclaimer.variant.clone(),
            market: disclaimer.market.clone(),
        }
    }

    /// Whether an approval in force covers it: for its market, or for any if it has none.
    pub fn is_covered_by(&self, approvals: &[RecordedApproval]) -> bool {
        approvals.iter().any(|approval| {
            approval.withdrawn_at.is_none()
                && approval.copy_hash == self.hash
                && self.market.as_ref().is_none_or(|market| approval.market == *market)
        })
    }
}

/// Records an approval of several wordings, in the caller's transaction. One that is in force
/// already stays as it is. Call [`retry_held`] after the commit.
pub async fn approve(
    tx: &mut PgConnection,
    copies: &[CopyId],
    approval: &Approval<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for copy in copies {
        store::insert(&mut *tx, copy, approval, now).await?;
    }
    Ok(())
}

/// Selects approvals; `None` selects all.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApprovalFilter<'a> {
    /// The first digits of the wording's hash.
    pub hash_prefix: Option<&'a str>,
    pub reference: Option<&'a str>,
    pub market: Option<&'a str>,
    /// Only approvals that were not withdrawn.
    pub is_in_force: bool,
}

/// The end of an approval.
#[derive(Clone, Copy, Debug)]
pub struct Withdrawal<'a> {
    pub reason: &'a str,
    /// The operator who entered it.
    pub withdrawn_by: &'a str,
}

/// Why no approval was withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    #[error("no approval in force matches: `email approvals list` shows them")]
    NoneMatches,
    #[error("{0} wordings begin with this hash: give more of its digits")]
    Ambiguous(usize),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Withdraws the selected approvals that are in force, in the caller's transaction, and returns
/// them. Letters that wait are held when their turn comes. A hash that several wordings begin with
/// withdraws nothing.
pub async fn withdraw(
    tx: &mut PgConnection,
    filter: &ApprovalFilter<'_>,
    withdrawal: &Withdrawal<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<RecordedApproval>, WithdrawError> {
    let in_force = ApprovalFilter { is_in_force: true, ..*filter };
    let found = store::list(&mut *tx, &in_force).await?;
    let wordings: BTreeSet<&str> = found.iter().map(|of| of.copy_hash.as_str()).collect();
    if wordings.is_empty() {
        return Err(WithdrawError::NoneMatches);
    }
    if filter.hash_prefix.is_some() && wordings.len() > 1 {
        return Err(WithdrawError::Ambiguous(wordings.len()));
    }
    let ids: Vec<i64> = found.iter().map(|of| of.copy_approval_id).collect();
    store::withdraw(tx, &ids, withdrawal, now).await?;
    Ok(found)
}

/// Retries the letters that are held for a missing disclaimer or approval, and returns their
/// number. Letters that still lack one are held again. Works in small transactions, so that
/// thousands of letters do not block writers of their offers. After a crash the rest stays held
/// until the next start.
pub async fn retry_held(db: &Pool, now: DateTime<Utc>) -> sqlx::Result<usize> {
    let mut retried = 0;
    // Each letter once: an early one may be held again before the last one is retried.
    let mut after = (String::new(), String::new());
    loop {
        let mut tx = db.begin().await?;
        let held = find_held_for(&mut *tx, &[NO_DISCLAIMER, NOT_APPROVED], &after, BATCH).await?;
        for letter in &held {
            transition::retry(&mut tx, letter, None, now).await?;
        }
        tx.commit().await?;
        let Some(last) = held.last() else { return Ok(retried) };
        after = (last.offer_id.clone(), last.letter_id.clone());
        retried += held.len();
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
