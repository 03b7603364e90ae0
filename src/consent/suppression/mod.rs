//! Addresses that no letter can go to: letters to them came back for good, or the relay would not take them.
//!
//! Whoever goes on writing to such addresses is soon taken for a spammer, and all of his letters with him. So no further letter goes
//! there, to whichever account, until a person says that the address works again; a letter that would is held. What is kept of the
//! address is its hash. An account that has another address at Stripe by now is written to at that one.

pub mod store;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::letters::reason::ADDRESS_BOUNCED;
use crate::letters::store::{Letter, find};
use crate::letters::transition;
use crate::offers::timeline::{self, Entry};

/// SHA-256 of an address in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressHash([u8; 32]);

/// Neither an address nor the hash of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the address, or its hash as `address list` shows it")]
pub struct NotAnAddress;

impl AddressHash {
    /// The hash of an address. Servers that tell upper case from lower in what stands before the `@` are hardly to be found.
    pub fn of(address: &str) -> Self {
        Self(Sha256::digest(address.to_ascii_lowercase()).into())
    }

    fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// An address, or a hash in hexadecimal.
impl FromStr for AddressHash {
    type Err = NotAnAddress;

    fn from_str(given: &str) -> Result<Self, NotAnAddress> {
        let given = given.trim();
        if given.contains('@') {
            return Ok(Self::of(given));
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(given, &mut hash).map_err(|_| NotAnAddress)?;
        Ok(Self(hash))
    }
}

/// How it was found out, as in `suppressed_addresses.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// A letter came back.
    Bounce,
    /// The relay would not take it.
    Refused,
}

impl Reason {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What was found out about an address.
#[derive(Clone, Copy, Debug)]
pub struct AddressFailure<'a> {
    pub address: AddressHash,
    pub reason: Reason,
    /// The enhanced status code.
    pub status: &'a str,
}

/// Writes down that no letter can go to an address, once, with a line in the timeline of the letter that showed it.
pub async fn record(
    tx: &mut PgConnection,
    letter: &Letter,
    found: &AddressFailure<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    store::link(&mut *tx, &letter.letter_id, &found.address).await?;
    if store::add(&mut *tx, &letter.letter_id, found, now).await? {
        let note = format!("{} {}", found.reason.as_str(), found.status);
        let entry = Entry::ours(&letter.offer_id, &letter.account_id, "address.refused", now);
        timeline::add(tx, &entry.with_note(&note), now).await?;
    }
    Ok(())
}

/// What follows when an address works again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Letters that were held for it and are tried again.
    pub held: usize,
    /// Offers whose letters were rejected or came back before: those are a person's to send again.
    pub offers: Vec<String>,
}

/// Lets letters go to an address again, and has those tried that are held for it, in the caller's transaction. None where letters
/// may go there already.
pub async fn allow(
    tx: &mut PgConnection,
    address: &AddressHash,
    ended_by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Allowed>> {
    if !store::end(&mut *tx, address, ended_by, now).await? {
        return Ok(None);
    }
    let mut held = 0;
    for letter_id in store::held_for(&mut *tx, address, ADDRESS_BOUNCED).await? {
        let Some(letter) = find(&mut *tx, &letter_id).await? else { continue };
        transition::retry(&mut *tx, &letter, Some("its address works again"), now).await?;
        held += 1;
    }
    Ok(Some(Allowed { held, offers: store::stopped_for(tx, address).await? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_in_any_case_and_by_its_hash() {
        let hash = AddressHash::of("Jenny@Bakery.example");
        assert_eq!(hash, AddressHash::of("jenny@bakery.example"));
        assert_eq!(" jenny@BAKERY.example ".parse(), Ok(hash));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for bad in ["", "jenny", "00", &"0".repeat(63), &"z".repeat(64)] {
            assert_eq!(bad.parse::<AddressHash>(), Err(NotAnAddress), "{bad}");
        }
    }
}
