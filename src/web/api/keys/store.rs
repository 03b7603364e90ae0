//! The SQL of `api_keys`.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

#[derive(Clone, Copy, Debug)]
pub(super) struct KeyRecord<'a> {
    pub(super) key_id: &'a str,
    pub(super) name: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) secret_sha256: &'a [u8],
}

pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    key: &KeyRecord<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into api_keys (key_id, name, scopes, secret_sha256, created_at)
        values ($1, $2, $3, $4, $5)
        ",
        key.key_id,
        key.name,
        key.scopes,
        key.secret_sha256,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What authentication reads of a key.
#[derive(Debug)]
pub(super) struct StoredKey {
    pub(super) key_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
}

/// The key with this hash, unless it was revoked.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    secret_sha256: &[u8],
) -> sqlx::Result<Option<StoredKey>> {
    sqlx::query_as!(
        StoredKey,
        "
        select key_id, scopes, last_used_at
        from api_keys
        where secret_sha256 = $1 and revoked_at is null
        ",
        secret_sha256,
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn record_use(
    db: impl PgExecutor<'_>,
    key_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!("update api_keys set last_used_at = $2 where key_id = $1", key_id, now)
        .execute(db)
        .await?;
    Ok(())
}

/// A key as the command `api-key list` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct KeySummary {
    pub key_id: String,
    /// Describes the key's use.
    pub name: String,
    pub scopes: Vec<String>,
    pub created_at: DateTime<Utc>,
    /// Accurate to the hour.
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// All keys, newest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<KeySummary>> {
    sqlx::query_as!(
        KeySummary,
        "
        select key_id, name, scopes, created_at, last_used_at, revoked_at
        from api_keys
        order by created_at desc, key_id
        ",
    )
    .fetch_all(db)
    .await
}

/// Revokes a key, at once and permanently. False if no active key has this id.
pub async fn revoke(
    db: impl PgExecutor<'_>,
    key_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let revoked = sqlx::query!(
        "
        update api_keys
        set revoked_at = $2
        where key_id = $1 and revoked_at is null
        ",
        key_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(revoked.rows_affected() == 1)
}
