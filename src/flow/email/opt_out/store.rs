//! The SQL of the opt-outs. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::OptedOut;

/// Writes an opt-out down, once.
pub(super) async fn add(
    db: impl PgExecutor<'_>,
    account_id: &str,
    source: &str,
    note: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<OptedOut> {
    let added = sqlx::query!(
        "
        insert into opt_outs (account_id, source, note, opted_out_at)
        values ($1, $2, $3, $4)
        on conflict (account_id) do nothing
        ",
        account_id,
        source,
        note,
        now,
    )
    .execute(db)
    .await?;
    Ok(if added.rows_affected() == 1 { OptedOut::First } else { OptedOut::Again })
}

/// Takes an opt-out back. False where there is none.
pub async fn remove(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    let removed = sqlx::query!("delete from opt_outs where account_id = $1", account_id).execute(db).await?;
    Ok(removed.rows_affected() == 1)
}

/// Whether an account wants no letters.
pub(in crate::flow::email) async fn has(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from opt_outs where account_id = $1) as "opted_out!""#,
        account_id,
    )
    .fetch_one(db)
    .await
}

/// An account that wants no letters.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OptOut {
    /// `acct_…`
    pub account_id: String,
    /// Who said so.
    pub source: String,
    /// In whose words.
    pub note: Option<String>,
    /// Since when.
    pub opted_out_at: DateTime<Utc>,
}

/// All accounts that want no letters, the latest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<OptOut>> {
    sqlx::query_as!(
        OptOut,
        "
        select account_id, source, note, opted_out_at
        from opt_outs
        order by opted_out_at desc, account_id
        ",
    )
    .fetch_all(db)
    .await
}
