//! The address that the platform says an account's letters are to go to. It comes before all that Stripe knows of the account: the platform
//! may know its owner better. It is an address like any other: letters that come back from it close it (`refused`).

pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::address::Address;
use super::moves::{self, GAVE_UP};
use super::recipient::NoRecipient;
use super::refused::AddressHash;
use super::store::{Letter, State, lock_unsent_of_account};

/// What is said of an account's letters.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The connected account.
    pub account_id: &'a str,
    /// Where its letters are to go.
    pub address: &'a Address,
    /// The key of the program that says so.
    pub named_by: &'a str,
}

/// Writes down where an account's letters are to go, in the caller's transaction, and has those tried again that are held for want of an
/// address that works, or gave up. Says how many. What is on its way goes where it was going; what may have been sent goes there again.
pub async fn name(
    tx: &mut PgConnection,
    naming: &Naming<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    store::put(&mut *tx, naming, now).await?;
    let mut released = 0;
    // Locked after the address was written down: a letter that is about to be held is waited for, and found held; one that comes later
    // finds the address (`still_nobody`).
    for letter in lock_unsent_of_account(&mut *tx, naming.account_id).await? {
        // One that gave up was not sent, and may have failed at its address: another one gets its own attempts.
        let may_go_out = letter
            .reason
            .as_deref()
            .is_some_and(|reason| NoRecipient::is_reason(reason) || reason == GAVE_UP);
        if letter.state == State::Held && may_go_out {
            moves::try_again(&mut *tx, &letter, Some("the platform named another address"), now)
                .await?;
            released += 1;
        }
    }
    Ok(released)
}

/// Whether a letter that is held for want of an address that works lacks one still, in the transaction that held it.
pub(super) async fn still_nobody(
    tx: &mut PgConnection,
    letter: &Letter,
    nobody: &NoRecipient,
) -> sqlx::Result<bool> {
    let Some(named) = store::find(tx, &letter.account_id).await? else { return Ok(true) };
    Ok(match nobody {
        NoRecipient::None | NoRecipient::Bad => false,
        NoRecipient::Refused(refused) => {
            AddressHash::of(refused.expose()) == AddressHash::of(&named.address)
        }
    })
}
