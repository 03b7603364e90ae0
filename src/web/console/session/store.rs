//! The SQL of `console_sessions`.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

pub(super) struct NewConsoleSession<'a> {
    pub(super) session_sha256: &'a [u8],
    pub(super) token_proof: &'a [u8],
    pub(super) role: &'static str,
    pub(super) name: &'a str,
    pub(super) expires_at: DateTime<Utc>,
}

pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    session: &NewConsoleSession<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into console_sessions
            (session_sha256, token_proof, role, name, created_at, last_used_at, expires_at)
        values ($1, $2, $3, $4, $5, $5, $6)
        ",
        session.session_sha256,
        session.token_proof,
        session.role,
        session.name,
        now,
        session.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) struct StoredConsoleSession {
    pub(super) session_sha256: Vec<u8>,
    pub(super) token_proof: Vec<u8>,
    pub(super) role: String,
    pub(super) name: String,
    pub(super) last_used_at: DateTime<Utc>,
}

/// Those of these sessions that have not expired, newest first.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    sessions_sha256: &[Vec<u8>],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<StoredConsoleSession>> {
    sqlx::query_as!(
        StoredConsoleSession,
        "
        select session_sha256, token_proof, role, name, last_used_at
        from console_sessions
        where session_sha256 = any($1) and expires_at > $2
        order by created_at desc
        ",
        sessions_sha256,
        now,
    )
    .fetch_all(db)
    .await
}

pub(super) async fn touch(
    db: impl PgExecutor<'_>,
    session_sha256: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update console_sessions set last_used_at = $2 where session_sha256 = $1",
        session_sha256,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends these sessions: their cookies are no longer accepted.
pub(super) async fn delete(
    db: impl PgExecutor<'_>,
    sessions_sha256: &[Vec<u8>],
) -> sqlx::Result<()> {
    sqlx::query!("delete from console_sessions where session_sha256 = any($1)", sessions_sha256)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes some expired rows. Each sign-in deletes more rows than it adds, so no cleanup job is
/// needed.
pub(super) async fn delete_expired(tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        delete from console_sessions
        where session_sha256 in (
            select session_sha256 from console_sessions where expires_at < $1
                limit 10 for update skip locked
        )
        ",
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}
