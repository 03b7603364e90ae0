//! The suppression list: addresses that are undeliverable, because letters to them bounced
//! permanently or the relay refused them.
//!
//! A sender that keeps writing to such addresses loses its reputation, and with it the delivery of
//! all its letters. No letter goes to a suppressed address, from any account, until an operator
//! lifts the suppression; a letter that would is held. Only the hash of the address is stored. An
//! account whose address at Stripe has changed receives letters at the new one.

mod listing;
pub mod store;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::letters::store::{
    Letter, find_held_for_address, link_suppressed_address, offers_stopped_by_address,
};
use crate::letters::transition;
use crate::offers::timeline::{self, Entry};

pub use listing::{SuppressedAddress, find, list, list_for_offer, page};

/// SHA-256 of an address in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressHash([u8; 32]);

/// Neither an address nor the hash of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address, or its hash as `address list` shows it")]
pub struct AddressHashError;

impl AddressHash {
    /// Case is ignored: servers that distinguish it in the local part are practically extinct.
    pub fn of(address: &str) -> Self {
        Self(Sha256::digest(address.to_ascii_lowercase()).into())
    }

    /// As in the columns `suppressed_address_sha256` and `address_sha256`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Parses an address, or a hash in hexadecimal.
impl FromStr for AddressHash {
    type Err = AddressHashError;

    fn from_str(given: &str) -> Result<Self, AddressHashError> {
        let given = given.trim();
        if given.contains('@') {
            return Ok(Self::of(given));
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(given, &mut hash).map_err(|_| AddressHashError)?;
        Ok(Self(hash))
    }
}

/// Why an address is suppressed, as in `suppressed_addresses.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SuppressionReason {
    /// A letter bounced.
    Bounce,
    /// The relay refused the address.
    Refused,
}

impl SuppressionReason {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Evidence that an address is undeliverable.
#[derive(Clone, Copy, Debug)]
pub struct AddressFailure<'a> {
    pub address: AddressHash,
    pub reason: SuppressionReason,
    /// The enhanced status code.
    pub status: &'a str,
}

/// Suppresses an address, unless it already is, and adds an entry to the timeline of the letter
/// that bounced.
pub async fn record(
    tx: &mut PgConnection,
    letter: &Letter,
    failure: &AddressFailure<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    link_suppressed_address(&mut *tx, &letter.letter_id, failure.address.as_bytes()).await?;
    // Only the first failure is reported in a timeline.
    if store::insert(&mut *tx, &letter.letter_id, failure, now).await? {
        let note = format!("{} {}", failure.reason.as_str(), failure.status);
        let entry = Entry::ours(&letter.offer_id, &letter.account_id, "address.refused", now);
        timeline::add(tx, &entry.with_note(&note), now).await?;
    }
    Ok(())
}

/// What lifting a suppression changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// Held letters that are retried.
    pub released: usize,
    /// Offers whose letters were rejected or bounced earlier. Only an operator sends those again.
    pub offers_to_resend: Vec<String>,
}

/// Lifts the suppression of an address and retries the letters held for it, in the caller's
/// transaction. `None` if the address is not suppressed.
pub async fn lift(
    tx: &mut PgConnection,
    address: &AddressHash,
    ended_by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Lifted>> {
    if !store::end(&mut *tx, address, ended_by, now).await? {
        return Ok(None);
    }
    let mut released = 0;
    for letter in find_held_for_address(&mut *tx, address.as_bytes()).await? {
        // Holding the letter finished its job; `retry` queues it again.
        transition::retry(&mut *tx, &letter, Some("its address works again"), now).await?;
        released += 1;
    }
    let offers_to_resend = offers_stopped_by_address(tx, address.as_bytes()).await?;
    Ok(Some(Lifted { released, offers_to_resend }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_ignored_and_a_hash_is_accepted() {
        let hash = AddressHash::of("Jenny@Bakery.example");
        assert_eq!(hash, AddressHash::of("jenny@bakery.example"));
        assert_eq!(" jenny@BAKERY.example ".parse(), Ok(hash));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for bad in ["", "jenny", "00", &"0".repeat(63), &"z".repeat(64)] {
            assert_eq!(bad.parse::<AddressHash>(), Err(AddressHashError), "{bad}");
        }
    }
}
