//! How far each account's list of transactions has been read.
//!
//! The row in `transaction_backfills` is updated in the same transaction as the page it accounts
//! for, so a crash resumes after the last committed page.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// One pass over an account's list, in progress.
#[derive(Debug)]
pub(super) struct BackfillPass {
    /// When the first page was requested.
    pub(super) started_at: DateTime<Utc>,
    /// The id after which the next page begins; none for the first page.
    pub(super) after_transaction_id: Option<String>,
    /// Everything that was in the list at this moment is stored.
    pub(super) completed_at: Option<DateTime<Utc>>,
    /// Reads to the end of the list, regardless of `completed_at`.
    pub(super) is_full: bool,
    /// Entries skipped so far.
    pub(super) skipped: i32,
}

/// What a finished pass stores.
#[derive(Debug)]
pub(super) struct PassOutcome {
    /// As [`BackfillPass::completed_at`].
    pub(super) completed_at: Option<DateTime<Utc>>,
    /// Entries skipped; none if the list could not be read, which keeps the previous count.
    pub(super) unreadable: Option<i32>,
}

/// Starts a pass, a full one if that was requested, or resumes an interrupted one. Progress made in
/// the other mode is discarded.
pub(super) async fn begin(
    db: &mut PgConnection,
    account_id: &str,
    livemode: Option<bool>,
    now: DateTime<Utc>,
) -> sqlx::Result<BackfillPass> {
    sqlx::query!(
        "delete from transaction_backfills where account_id = $1 and livemode is distinct from $2",
        account_id,
        livemode,
    )
    .execute(&mut *db)
    .await?;
    // Starting a pass consumes the request for a full one; resuming keeps a request made since.
    sqlx::query_as!(
        BackfillPass,
        r#"
        insert into transaction_backfills as kept (account_id, livemode, started_at, changed_at)
        values ($1, $3, $2, $2)
        on conflict (account_id) do update
        set started_at = coalesce(kept.started_at, $2),
            after_transaction_id =
                case when kept.started_at is not null then kept.after_transaction_id end,
            is_full = case
                when kept.started_at is null then kept.full_pass_requested_at is not null
                else kept.is_full
            end,
            full_pass_requested_at =
                case when kept.started_at is not null then kept.full_pass_requested_at end
        returning started_at as "started_at!", after_transaction_id, completed_at, is_full, skipped
        "#,
        account_id,
        now,
        livemode,
    )
    .fetch_one(db)
    .await
}

/// Those of the accounts whose list has been read to its end in this mode, and for which no pass is
/// running or requested.
pub(super) async fn complete_among(
    db: impl PgExecutor<'_>,
    account_ids: &[String],
    livemodes: &[bool],
) -> sqlx::Result<HashSet<String>> {
    let complete = sqlx::query_scalar!(
        "
        select transaction_backfills.account_id
        from unnest($1::text[], $2::boolean[]) as seen (account_id, livemode)
        join transaction_backfills on transaction_backfills.account_id = seen.account_id
        where coalesce(transaction_backfills.livemode = seen.livemode, true)
            and completed_at is not null and started_at is null and full_pass_requested_at is null
        ",
        account_ids,
        livemodes,
    )
    .fetch_all(db)
    .await?;
    Ok(complete.into_iter().collect())
}

/// Whether the list was read once in this mode. Before, the ledger says nothing about the account.
pub(super) async fn was_read(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from transaction_backfills
            where account_id = $1 and livemode is not distinct from $2 and completed_at is not null
        ) as "was_read!"
        "#,
        account_id,
        livemode,
    )
    .fetch_one(db)
    .await
}

/// Stores the progress of a pass after a page.
pub(super) async fn save(
    db: impl PgExecutor<'_>,
    account_id: &str,
    pass: &BackfillPass,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update transaction_backfills
        set started_at = $2, after_transaction_id = $3, skipped = $4, changed_at = $5
        where account_id = $1
        ",
        account_id,
        pass.started_at,
        pass.after_transaction_id,
        pass.skipped,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends a pass. True if a full pass was requested while it ran.
pub(super) async fn end(
    db: impl PgExecutor<'_>,
    account_id: &str,
    outcome: &PassOutcome,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        update transaction_backfills
        set started_at = null, after_transaction_id = null, is_full = false, skipped = 0,
            completed_at = $2, unreadable = coalesce($3, unreadable), changed_at = $4
        where account_id = $1
        returning full_pass_requested_at is not null as "is_requested_again!"
        "#,
        account_id,
        outcome.completed_at,
        outcome.unreadable,
        now,
    )
    .fetch_one(db)
    .await
}

/// Requests that the next pass reads the whole list. Queues no job: call it while one is running.
pub(super) async fn request_full_pass(
    db: impl PgExecutor<'_>,
    account_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update transaction_backfills set full_pass_requested_at = $2 where account_id = $1",
        account_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Entries that the latest passes could not read or store, over all accounts.
pub async fn unreadable(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select coalesce(sum(unreadable), 0) as "sum!"
        from transaction_backfills
        where unreadable > 0
        "#
    )
    .fetch_one(db)
    .await
}

/// An account's list with entries that the last pass could not read or store.
#[derive(Clone, Debug)]
pub struct UnreadableList {
    pub account_id: String,
    /// The number of entries.
    pub unreadable: i32,
    /// When the list was last read without such an entry; if it never was, when it was last read.
    pub read_until: DateTime<Utc>,
    /// How many such accounts there are.
    pub total: i64,
}

/// At most `limit` accounts with unreadable entries, the longest first.
pub async fn list_unreadable(
    db: impl PgExecutor<'_>,
    limit: i64,
) -> sqlx::Result<Vec<UnreadableList>> {
    sqlx::query_as!(
        UnreadableList,
        r#"
        select account_id, unreadable, coalesce(completed_at, changed_at) as "read_until!",
            count(*) over () as "total!"
        from transaction_backfills
        where unreadable > 0
        order by coalesce(completed_at, changed_at), account_id
        limit $1
        "#,
        limit,
    )
    .fetch_all(db)
    .await
}
