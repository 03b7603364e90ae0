//! The SQL of the opt-outs. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{OptOutRequest, OptedOut, Source};

/// Writes an opt-out down, once.
pub async fn add(db: impl PgExecutor<'_>, request: &OptOutRequest<'_>) -> sqlx::Result<OptedOut> {
    let added = sqlx::query!(
        "
        insert into opt_outs (account_id, source, note, opted_out_at)
        values ($1, $2, $3, $4)
        on conflict (account_id) where ended_at is null do nothing
        ",
        request.account_id,
        request.source.as_str(),
        request.note,
        request.since,
    )
    .execute(db)
    .await?;
    Ok(if added.rows_affected() == 1 { OptedOut::Inserted } else { OptedOut::Duplicate })
}

/// Ends an opt-out, if one of these sources made it; its row stays. False where there is none such.
pub async fn end(
    db: impl PgExecutor<'_>,
    account_id: &str,
    made_by: &[Source],
    ended_by: Source,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let made_by: Vec<String> = made_by.iter().map(|source| source.as_str().to_owned()).collect();
    let ended = sqlx::query!(
        "
        update opt_outs
        set ended_at = $4, ended_by = $3
        where account_id = $1 and ended_at is null and source = any($2)
        ",
        account_id,
        &made_by,
        ended_by.as_str(),
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
        select exists (select from opt_outs where account_id = $1 and ended_at is null)
            as "opted_out!"
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}

/// That an account wants no letters, or wanted none.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OptOut {
    /// Its place among all, in the order in which they were written down.
    #[serde(skip)]
    pub opt_out_id: i64,
    /// `acct_…`
    pub account_id: String,
    /// Who said so.
    pub source: String,
    /// Which letters it is about.
    pub scope: String,
    /// In whose words.
    pub note: Option<String>,
    /// Since when.
    pub opted_out_at: DateTime<Utc>,
    /// Since when it holds no longer.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who said that.
    pub ended_by: Option<String>,
}

/// How an account's opt-out stands; none where it may have letters.
pub async fn current(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<Option<OptOut>> {
    sqlx::query_as!(
        OptOut,
        "
        select opt_out_id, account_id, source, scope, note, opted_out_at, ended_at, ended_by
        from opt_outs
        where account_id = $1 and ended_at is null
        ",
        account_id,
    )
    .fetch_optional(db)
    .await
}

/// Which opt-outs to read.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Only those that were written down after this one.
    pub after: i64,
    /// How many at most.
    pub limit: i64,
    /// Those as well that have ended.
    pub with_ended: bool,
}

/// Opt-outs in the order in which they were written down.
pub async fn page(db: impl PgExecutor<'_>, page: &Page) -> sqlx::Result<Vec<OptOut>> {
    sqlx::query_as!(
        OptOut,
        "
        select opt_out_id, account_id, source, scope, note, opted_out_at, ended_at, ended_by
        from opt_outs
        where opt_out_id > $1 and ($3 or ended_at is null)
        order by opt_out_id
        limit $2
        ",
        page.after,
        page.limit,
        page.with_ended,
    )
    .fetch_all(db)
    .await
}

/// All accounts that want no letters, the latest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<OptOut>> {
    sqlx::query_as!(
        OptOut,
        "
        select opt_out_id, account_id, source, scope, note, opted_out_at, ended_at, ended_by
        from opt_outs
        where ended_at is null
        order by opted_out_at desc, account_id
        ",
    )
    .fetch_all(db)
    .await
}
