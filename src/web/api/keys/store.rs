//! The SQL of the keys.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A key that is to be written down.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(super) struct Key<'a> {
    pub(super) key_id: &'a str,
    pub(super) name: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) secret_sha256: &'a [u8],
}

/// Writes a key down.
pub(super) async fn add(
    db: impl PgExecutor<'_>,
    key: &Key<'_>,
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

/// A key that holds.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
}

/// The key with this secret, unless it was revoked.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    secret_sha256: &[u8],
) -> sqlx::Result<Option<Found>> {
    sqlx::query_as!(
        Found,
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

/// Writes down that a key was used.
pub(super) async fn note_use(
    db: impl PgExecutor<'_>,
    key_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!("update api_keys set last_used_at = $2 where key_id = $1", key_id, now)
        .execute(db)
        .await?;
    Ok(())
}

/// A key, for a person.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Shown {
    /// `key_…`
    pub key_id: String,
    /// For whom or what it was made.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the hour.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Since when it is good for nothing.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// All keys, the newest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Shown>> {
    sqlx::query_as!(
        Shown,
        "
        select key_id, name, scopes, created_at, last_used_at, revoked_at
        from api_keys
        order by created_at desc, key_id
        ",
    )
    .fetch_all(db)
    .await
}

/// Revokes a key, at once and for good. False where there is none that holds.
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
