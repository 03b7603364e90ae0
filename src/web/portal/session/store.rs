//! The SQL of the sessions.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// Marks a token as used. False where it was used before.
pub(super) async fn use_up(
    db: impl PgExecutor<'_>,
    token_sha256: &[u8],
    expires_at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let used = sqlx::query!(
        "
        insert into portal_tokens (token_sha256, expires_at)
        values ($1, $2)
        on conflict (token_sha256) do nothing
        ",
        token_sha256,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// A session to be.
pub(super) struct Opening<'a> {
    pub(super) session_sha256: &'a [u8],
    pub(super) account_id: &'a str,
    pub(super) language: Option<&'a str>,
    pub(super) expires_at: DateTime<Utc>,
}

pub(super) async fn open(
    db: impl PgExecutor<'_>,
    opening: &Opening<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into portal_sessions (session_sha256, account_id, language, created_at, expires_at)
        values ($1, $2, $3, $4, $5)
        ",
        opening.session_sha256,
        opening.account_id,
        opening.language,
        now,
        opening.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A session that is not over.
pub(super) struct Found {
    pub(super) session_sha256: Vec<u8>,
    pub(super) account_id: String,
    pub(super) language: Option<String>,
}

/// The newest of these sessions that is not over.
pub(super) async fn find_newest(
    db: impl PgExecutor<'_>,
    sessions_sha256: &[Vec<u8>],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Found>> {
    sqlx::query_as!(
        Found,
        "
        select session_sha256, account_id, language
        from portal_sessions
        where session_sha256 = any($1) and expires_at > $2
        order by created_at desc
        limit 1
        ",
        sessions_sha256,
        now,
    )
    .fetch_optional(db)
    .await
}

/// Deletes some of what is over: each opening takes more away than it adds. A token's id is kept as long as the token could be
/// shown, and a minute more for clocks that differ.
pub(super) async fn forget_old(tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        delete from portal_tokens
        where token_sha256 in (
            select token_sha256 from portal_tokens
            where expires_at < $1::timestamptz - interval '1 minute'
            limit 10
            for update skip locked
        )
        ",
        now,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "
        delete from portal_sessions
        where session_sha256 in (
            select session_sha256 from portal_sessions where expires_at < $1
                limit 10 for update skip locked
        )
        ",
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}
