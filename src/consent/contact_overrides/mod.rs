//! The address that the platform says an account's letters are to go to. It comes before all that Stripe knows of the account: the platform
//! may know its owner better. It is an address like any other: letters that come back from it close it (`refused`).

pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::suppression::AddressHash;
use crate::letters::store::{State, lock_unsent_of_account};
use crate::letters::{reason, transition};
use crate::mail::Address;

/// What is said of an account's letters.
#[derive(Clone, Copy, Debug)]
pub struct ContactOverride<'a> {
    /// The connected account.
    pub account_id: &'a str,
    /// Where its letters are to go.
    pub address: &'a Address,
    /// The key of the program that says so.
    pub updated_by: &'a str,
}

/// Writes down where an account's letters are to go, in the caller's transaction, and has those tried again that are held for want of an
/// address that works, or gave up. Says how many. What is on its way goes where it was going; what may have been sent goes there again.
pub async fn set(
    tx: &mut PgConnection,
    naming: &ContactOverride<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    store::put(&mut *tx, naming, now).await?;
    let mut released = 0;
    // Locked after the address was written down: a letter that is about to be held is waited for, and found held; one that comes later
    // finds the address ([`recipient_still_missing`]).
    for letter in lock_unsent_of_account(&mut *tx, naming.account_id).await? {
        // One that gave up was not sent, and may have failed at its address: another one gets its own attempts.
        let may_go_out = letter
            .reason
            .as_deref()
            .is_some_and(|why| reason::lacks_address(why) || why == reason::GAVE_UP);
        if letter.state == State::Held && may_go_out {
            transition::retry(&mut *tx, &letter, Some("the platform named another address"), now)
                .await?;
            released += 1;
        }
    }
    Ok(released)
}

/// Whether a letter held for lack of an address still lacks one, in the transaction that held it.
/// `suppressed` is the address that could not be used, where there was one.
pub async fn recipient_still_missing(
    tx: &mut PgConnection,
    account_id: &str,
    suppressed: Option<&AddressHash>,
) -> sqlx::Result<bool> {
    let Some(contact) = store::find(tx, account_id).await? else { return Ok(true) };
    Ok(suppressed.is_some_and(|hash| *hash == AddressHash::of(&contact.address)))
}
