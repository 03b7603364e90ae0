//! The SQL of the suppression list. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{AddressFailure, AddressHash};

/// Inserts an address. False if it is already suppressed.
pub async fn insert(
    db: impl PgExecutor<'_>,
    letter_id: &str,
    failure: &AddressFailure<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "
        insert into suppressed_addresses (address_sha256, reason, status, letter_id, suppressed_at)
        values ($1, $2, $3, $4, $5)
        on conflict (address_sha256) where ended_at is null do nothing
        ",
        failure.address.as_bytes(),
        failure.reason.as_str(),
        failure.status,
        letter_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn is_suppressed(db: impl PgExecutor<'_>, address: &AddressHash) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from suppressed_addresses where address_sha256 = $1 and ended_at is null
        ) as "refused!"
        "#,
        address.as_bytes(),
    )
    .fetch_one(db)
    .await
}

/// Records the address that a letter was held, rejected or bounced for.
pub async fn link_letter(
    db: impl PgExecutor<'_>,
    letter_id: &str,
    address: &AddressHash,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update letters set suppressed_address_sha256 = $2 where letter_id = $1",
        letter_id,
        address.as_bytes(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lifts the suppression. False if the address is not suppressed.
pub async fn end(
    db: impl PgExecutor<'_>,
    address: &AddressHash,
    ended_by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let ended = sqlx::query!(
        "
        update suppressed_addresses
        set ended_at = $3, ended_by = $2
        where address_sha256 = $1 and ended_at is null
        ",
        address.as_bytes(),
        ended_by,
        now,
    )
    .execute(db)
    .await?;
    Ok(ended.rows_affected() == 1)
}

pub async fn letters_held_for(
    db: impl PgExecutor<'_>,
    address: &AddressHash,
    reason: &str,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "
        select letter_id
        from letters
        where suppressed_address_sha256 = $1 and state = 'held' and reason = $2
        order by offer_id, letter_id
        ",
        address.as_bytes(),
        reason,
    )
    .fetch_all(db)
    .await
}

/// Offers whose letters to the address were rejected or bounced.
pub async fn offers_stopped_by(
    db: impl PgExecutor<'_>,
    address: &AddressHash,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "
        select offer_id
        from letters
        where suppressed_address_sha256 = $1
            and (state = 'bounced' or (state = 'rejected' and reason = 'address_refused'))
        order by offer_id
        ",
        address.as_bytes(),
    )
    .fetch_all(db)
    .await
}

/// A suppressed address as operators see it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SuppressedAddress {
    /// SHA-256 of the address in lower case, in hexadecimal.
    pub address_sha256: String,
    /// `bounce` or `refused`.
    pub reason: String,
    /// The enhanced status code.
    pub status: String,
    /// The offer whose letter bounced.
    pub offer_id: String,
    pub suppressed_at: DateTime<Utc>,
    /// Letters held for it.
    pub held: i64,
}

/// All suppressed addresses, newest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<SuppressedAddress>> {
    sqlx::query_as!(
        SuppressedAddress,
        r#"
        select encode(refused.address_sha256, 'hex') as "address_sha256!", refused.reason,
            refused.status,
            shown.offer_id, refused.suppressed_at,
            (
                select count(*)
                from letters
                where suppressed_address_sha256 = refused.address_sha256
                    and state = 'held' and reason = 'address_bounced'
            ) as "held!"
        from suppressed_addresses as refused
        join letters as shown using (letter_id)
        where refused.ended_at is null
        order by refused.suppressed_at desc, refused.suppressed_address_id
        "#,
    )
    .fetch_all(db)
    .await
}

/// The suppressed addresses that affect an offer: its letter is held, rejected or bounced for one,
/// or is about to be sent to one again.
pub async fn list_for_offer(
    db: impl PgExecutor<'_>,
    offer_id: &str,
) -> sqlx::Result<Vec<SuppressedAddress>> {
    sqlx::query_as!(
        SuppressedAddress,
        r#"
        select distinct encode(refused.address_sha256, 'hex') as "address_sha256!", refused.reason,
            refused.status, shown.offer_id, refused.suppressed_at, 0::bigint as "held!"
        from letters
        join suppressed_addresses as refused on refused.address_sha256 = letters.suppressed_address_sha256
        join letters as shown on shown.letter_id = refused.letter_id
        where letters.offer_id = $1 and refused.ended_at is null
            and letters.state in ('held', 'rejected', 'bounced', 'waiting')
        order by refused.suppressed_at
        "#,
        offer_id,
    )
    .fetch_all(db)
    .await
}
