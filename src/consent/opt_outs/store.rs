//! SQL of `opt_outs`. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{OptOutOutcome, OptOutRequest, OptOutSource};
use crate::database::export_rows;

/// Inserts an opt-out unless the account already has an active one.
pub async fn insert(
    db: impl PgExecutor<'_>,
    request: &OptOutRequest<'_>,
) -> sqlx::Result<OptOutOutcome> {
    let inserted = sqlx::query!(
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
    // The partial unique index allows one active opt-out per account.
    Ok(if inserted.rows_affected() == 1 {
        OptOutOutcome::Inserted
    } else {
        OptOutOutcome::Duplicate
    })
}

/// Ends the active opt-out if it came from one of these sources. The row remains. False if there
/// was none.
pub async fn end(
    db: impl PgExecutor<'_>,
    account_id: &str,
    made_by: &[OptOutSource],
    ended_by: OptOutSource,
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

pub async fn is_opted_out(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
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

/// Those of the accounts that are opted out.
pub async fn opted_out_among(
    db: impl PgExecutor<'_>,
    account_ids: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select account_id from opt_outs where account_id = any($1) and ended_at is null",
        account_ids,
    )
    .fetch_all(db)
    .await
}

/// A row of `opt_outs`, active or ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OptOut {
    /// Increases in the order of insertion.
    #[serde(skip)]
    pub opt_out_id: i64,
    /// `acct_…`
    pub account_id: String,
    pub source: String,
    /// The kind of letters it covers.
    pub scope: String,
    pub note: Option<String>,
    pub opted_out_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_by: Option<String>,
}

/// Selects opt-outs by a condition.
macro_rules! select_opt_outs {
    ($condition:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            OptOut,
            "
            select opt_out_id, account_id, source, scope, note, opted_out_at, ended_at, ended_by
            from opt_outs
            where "
                + $condition,
            $($argument),*
        )
    };
}

/// The active opt-out of an account.
pub async fn find_active(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Option<OptOut>> {
    select_opt_outs!("account_id = $1 and ended_at is null", account_id).fetch_optional(db).await
}

/// The opt-outs of an account, active and ended, in the order of insertion.
pub async fn of_account(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<Vec<OptOut>> {
    select_opt_outs!("account_id = $1 order by opt_out_id", account_id).fetch_all(db).await
}

/// A page of opt-outs to read.
#[derive(Clone, Copy, Debug)]
pub struct OptOutPage {
    /// Only rows with a larger `opt_out_id`.
    pub after: i64,
    pub limit: i64,
    /// Includes ended opt-outs.
    pub with_ended: bool,
}

/// In the order of insertion.
pub async fn list_page(db: impl PgExecutor<'_>, page: &OptOutPage) -> sqlx::Result<Vec<OptOut>> {
    select_opt_outs!(
        "opt_out_id > $1 and ($3 or ended_at is null) order by opt_out_id limit $2",
        page.after,
        page.limit,
        page.with_ended,
    )
    .fetch_all(db)
    .await
}

/// Opt-outs whose id is below `before`, newest first.
pub async fn newest_page(
    db: impl PgExecutor<'_>,
    before: i64,
    limit: i64,
    with_ended: bool,
) -> sqlx::Result<Vec<OptOut>> {
    select_opt_outs!(
        "opt_out_id < $1 and ($3 or ended_at is null) order by opt_out_id desc limit $2",
        before,
        limit,
        with_ended,
    )
    .fetch_all(db)
    .await
}

/// All active opt-outs, newest first.
pub async fn list_active(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<OptOut>> {
    select_opt_outs!("ended_at is null order by opted_out_at desc, account_id").fetch_all(db).await
}

/// Whether the account has an opt-out, active or not.
pub async fn knows_account(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from opt_outs where account_id = $1) as "exists!""#,
        account_id,
    )
    .fetch_one(db)
    .await
}

// By account.
export_rows!(export, "select * from opt_outs where account_id = any($1) order by opt_out_id");
