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
        on conflict (account_id) where ended_at is null do nothing
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

/// Ends an opt-out, if one of these sources made it; its row stays. False where there is none such.
pub async fn end(
    db: impl PgExecutor<'_>,
    account_id: &str,
    made_by: &[&str],
    ended_by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let made_by: Vec<String> = made_by.iter().map(|source| (*source).to_owned()).collect();
    let ended = sqlx::query!(
        "
        update opt_outs
        set ended_at = $4, ended_by = $3
        where account_id = $1 and ended_at is null and source = any($2)
        ",
        account_id,
        &made_by,
        ended_by,
        now,
    )
    .execute(db)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Whether an account wants no letters.
pub async fn has(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (select from opt_outs where account_id = $1 and ended_at is null) as "opted_out!"
        "#,
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
        where ended_at is null
        order by opted_out_at desc, account_id
        ",
    )
    .fetch_all(db)
    .await
}
