//! The SQL of the addresses that no letter can go to. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{AddressFailure, AddressHash};

/// Writes an address down. False where it is written down already.
pub async fn add(
    db: impl PgExecutor<'_>,
    letter_id: &str,
    found: &AddressFailure<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "
        insert into suppressed_addresses (address_sha256, reason, status, letter_id, suppressed_at)
        values ($1, $2, $3, $4, $5)
        on conflict (address_sha256) where ended_at is null do nothing
        ",
        found.address.as_bytes(),
        found.reason.as_str(),
        found.status,
        letter_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Whether no letter can go to an address.
pub async fn has(db: impl PgExecutor<'_>, address: &AddressHash) -> sqlx::Result<bool> {
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

/// Writes down for which address a letter is held, was rejected or came back.
pub async fn link(
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

/// Ends it: letters may go to the address. False where they may already.
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

/// The letters that are held for an address.
pub async fn held_for(
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

/// The offers whose letters to an address were rejected or came back.
pub async fn stopped_for(
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

/// An address that no letter can go to, for a person.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Shown {
    /// SHA-256 of the address in lower case, in hexadecimal.
    pub address_sha256: String,
    /// `bounce` or `refused`.
    pub reason: String,
    /// The enhanced status code.
    pub status: String,
    /// The offer whose letter showed it.
    pub offer_id: String,
    /// Since when.
    pub suppressed_at: DateTime<Utc>,
    /// Letters that are held for it.
    pub held: i64,
}

/// All addresses that no letter can go to, the latest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Shown>> {
    sqlx::query_as!(
        Shown,
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

/// Those of them that an offer's letter is held, was rejected or came back for, or waits to be sent to once more.
pub async fn of_offer(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Vec<Shown>> {
    sqlx::query_as!(
        Shown,
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
