//! The suppressed addresses as operators see them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::AddressHash;
use super::store::{self, Suppression};
use crate::letters::store::{count_held_for_addresses, offers_of, suppressed_addresses_of_offer};

/// A suppressed address, which is known by its hash alone.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SuppressedAddress {
    /// Increases in the order of insertion.
    #[serde(skip)]
    pub suppressed_address_id: i64,
    /// SHA-256 of the address in lower case, in hexadecimal.
    pub address_sha256: String,
    /// `bounce` or `refused`.
    pub reason: String,
    /// The enhanced status code.
    pub status: String,
    /// The offer whose letter bounced or was refused first.
    pub offer_id: String,
    pub suppressed_at: DateTime<Utc>,
    /// Letters held for it.
    pub held: i64,
}

/// All suppressed addresses, newest first.
pub async fn list(db: &mut PgConnection) -> sqlx::Result<Vec<SuppressedAddress>> {
    let suppressions = store::list(&mut *db, None).await?;
    describe(db, suppressions).await
}

/// An address, if it is suppressed.
pub async fn find(
    db: &mut PgConnection,
    address: &AddressHash,
) -> sqlx::Result<Option<SuppressedAddress>> {
    let suppressions = store::list(&mut *db, Some(&[address.as_bytes().to_vec()])).await?;
    Ok(describe(db, suppressions).await?.pop())
}

/// Suppressed addresses whose id is below `before`, newest first.
pub async fn page(
    db: &mut PgConnection,
    before: i64,
    limit: i64,
) -> sqlx::Result<Vec<SuppressedAddress>> {
    let suppressions = store::page(&mut *db, before, limit).await?;
    describe(db, suppressions).await
}

/// The suppressed addresses that affect an offer: its letter is held, rejected or bounced for one,
/// or is about to be sent to one again.
pub async fn list_for_offer(
    db: &mut PgConnection,
    offer_id: &str,
) -> sqlx::Result<Vec<SuppressedAddress>> {
    let addresses = suppressed_addresses_of_offer(&mut *db, offer_id).await?;
    let suppressions = store::list(&mut *db, Some(&addresses)).await?;
    describe(db, suppressions).await
}

/// Adds what the letters know about each address, in one query each for all of them.
async fn describe(
    db: &mut PgConnection,
    suppressions: Vec<Suppression>,
) -> sqlx::Result<Vec<SuppressedAddress>> {
    let letter_ids: Vec<String> =
        suppressions.iter().map(|suppression| suppression.letter_id.clone()).collect();
    let addresses: Vec<Vec<u8>> =
        suppressions.iter().map(|suppression| suppression.address_sha256.clone()).collect();
    let offers = offers_of(&mut *db, &letter_ids).await?;
    let held = count_held_for_addresses(db, &addresses).await?;
    let described = suppressions.into_iter().map(|suppression| {
        let Suppression { address_sha256, reason, status, letter_id, suppressed_at, .. } =
            suppression;
        SuppressedAddress {
            suppressed_address_id: suppression.suppressed_address_id,
            held: held.get(&address_sha256).copied().unwrap_or_default(),
            address_sha256: hex::encode(address_sha256),
            reason,
            status,
            offer_id: offers.get(&letter_id).cloned().unwrap_or_default(),
            suppressed_at,
        }
    });
    Ok(described.collect())
}
