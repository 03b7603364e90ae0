//! SQL of `suppressed_addresses`. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{AddressFailure, AddressHash};
use crate::database::export_rows;

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
        ) as "suppressed!"
        "#,
        address.as_bytes(),
    )
    .fetch_one(db)
    .await
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

/// An active row of `suppressed_addresses`.
#[derive(Debug)]
pub(super) struct Suppression {
    pub(super) suppressed_address_id: i64,
    pub(super) address_sha256: Vec<u8>,
    pub(super) reason: String,
    pub(super) status: String,
    pub(super) letter_id: String,
    pub(super) suppressed_at: DateTime<Utc>,
}

/// All active suppressions, newest first, or only those of `among`.
pub(super) async fn list(
    db: impl PgExecutor<'_>,
    among: Option<&[Vec<u8>]>,
) -> sqlx::Result<Vec<Suppression>> {
    sqlx::query_as!(
        Suppression,
        "
        select suppressed_address_id, address_sha256, reason, status, letter_id, suppressed_at
        from suppressed_addresses
        where ended_at is null and ($1::bytea[] is null or address_sha256 = any($1))
        order by suppressed_at desc, suppressed_address_id
        ",
        among,
    )
    .fetch_all(db)
    .await
}

/// Active suppressions before `before`, newest first.
pub(super) async fn page(
    db: impl PgExecutor<'_>,
    before: i64,
    limit: i64,
) -> sqlx::Result<Vec<Suppression>> {
    sqlx::query_as!(
        Suppression,
        "
        select suppressed_address_id, address_sha256, reason, status, letter_id, suppressed_at
        from suppressed_addresses
        where ended_at is null and suppressed_address_id < $1
        order by suppressed_address_id desc
        limit $2
        ",
        before,
        limit,
    )
    .fetch_all(db)
    .await
}

// By letter, and by the hash of the address in hexadecimal.
export_rows!(
    export,
    "
    select *
    from suppressed_addresses
    where letter_id = any($1) or encode(address_sha256, 'hex') = any($1)
    order by suppressed_address_id
    "
);
