//! The SQL of `portal_tokens` and `portal_sessions`.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::database::export_rows;

/// Marks a token as redeemed. False if it was redeemed before.
pub(super) async fn redeem_token(
    db: impl PgExecutor<'_>,
    token_sha256: &[u8],
    expires_at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
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
    Ok(inserted.rows_affected() == 1)
}

pub(super) struct NewSession<'a> {
    pub(super) session_sha256: &'a [u8],
    pub(super) account_id: &'a str,
    pub(super) language: Option<&'a str>,
    pub(super) expires_at: DateTime<Utc>,
}

pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    session: &NewSession<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into portal_sessions (session_sha256, account_id, language, created_at, expires_at)
        values ($1, $2, $3, $4, $5)
        ",
        session.session_sha256,
        session.account_id,
        session.language,
        now,
        session.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) struct StoredSession {
    pub(super) session_sha256: Vec<u8>,
    pub(super) account_id: String,
    pub(super) language: Option<String>,
}

/// The newest of these sessions that has not expired.
pub(super) async fn find_newest(
    db: impl PgExecutor<'_>,
    sessions_sha256: &[Vec<u8>],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<StoredSession>> {
    sqlx::query_as!(
        StoredSession,
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

/// Deletes some expired rows. Each sign-in deletes more rows than it adds, so no cleanup job is
/// needed. A token's hash is kept until the token has expired, and a minute longer for clocks that
/// differ.
pub(super) async fn delete_expired(tx: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
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

/// Ends all sessions of an account: their cookies are no longer accepted. Returns their number.
pub async fn end_sessions(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<u64> {
    let ended = sqlx::query!("delete from portal_sessions where account_id = $1", account_id)
        .execute(db)
        .await?;
    Ok(ended.rows_affected())
}

/// Whether the account has a session, expired or not.
pub async fn has_session(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from portal_sessions where account_id = $1) as "exists!""#,
        account_id,
    )
    .fetch_one(db)
    .await
}

/// A session as an operator sees it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SessionSummary {
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// As the dashboard asked for.
    pub language: Option<String>,
}

/// The sessions of an account that were not deleted yet, newest first.
pub async fn sessions_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Vec<SessionSummary>> {
    sqlx::query_as!(
        SessionSummary,
        "
        select created_at, expires_at, language
        from portal_sessions
        where account_id = $1
        order by created_at desc
        ",
        account_id,
    )
    .fetch_all(db)
    .await
}

// By account.
export_rows!(
    export_sessions,
    "select * from portal_sessions where account_id = any($1) order by created_at"
);
