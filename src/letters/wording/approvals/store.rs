//! SQL of the `copy_approvals` table. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Approval, ApprovalFilter, CopyId, Withdrawal};

/// Inserts an approval unless one is in force for the wording and the market.
pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    copy: &CopyId,
    approval: &Approval<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into copy_approvals (
            copy_hash, kind, language, disclaimer_variant, market, reference, approved_by,
            approved_at
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        -- No constraint name: an older process may run on a newer schema.
        on conflict do nothing
        ",
        copy.hash,
        copy.kind,
        copy.language.code(),
        copy.disclaimer_variant,
        approval.market,
        approval.reference,
        approval.approved_by,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those of the wordings whose approval for a market is in force, with the market.
pub async fn in_force(
    db: impl PgExecutor<'_>,
    copy_hashes: &[String],
) -> sqlx::Result<Vec<(String, String)>> {
    let found = sqlx::query!(
        "
        select copy_hash, market
        from copy_approvals
        where copy_hash = any($1) and withdrawn_at is null
        ",
        copy_hashes,
    )
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().map(|row| (row.copy_hash, row.market)).collect())
}

/// An approval, in force or withdrawn. The fields are named as the columns.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RecordedApproval {
    #[serde(skip)]
    pub copy_approval_id: i64,
    pub copy_hash: String,
    pub market: String,
    /// `None`, like the next two, in approvals of earlier versions.
    pub kind: Option<String>,
    pub language: Option<String>,
    pub disclaimer_variant: Option<String>,
    pub reference: String,
    pub approved_by: String,
    pub approved_at: DateTime<Utc>,
    pub withdrawn_at: Option<DateTime<Utc>>,
    pub withdrawn_by: Option<String>,
    pub withdrawal_reason: Option<String>,
}

/// The selected approvals, by market and in the order of their insertion.
pub async fn list(
    db: impl PgExecutor<'_>,
    filter: &ApprovalFilter<'_>,
) -> sqlx::Result<Vec<RecordedApproval>> {
    sqlx::query_as!(
        RecordedApproval,
        "
        select copy_approval_id, copy_hash, market, kind, language, disclaimer_variant, reference,
            approved_by, approved_at, withdrawn_at, withdrawn_by, withdrawal_reason
        from copy_approvals
        where ($1::text is null or starts_with(copy_hash, $1))
            and ($2::text is null or reference = $2)
            and ($3::text is null or market = $3)
            and (withdrawn_at is null or not $4)
        order by market, copy_approval_id
        ",
        filter.hash_prefix,
        filter.reference,
        filter.market,
        filter.is_in_force,
    )
    .fetch_all(db)
    .await
}

pub(super) async fn withdraw(
    db: impl PgExecutor<'_>,
    copy_approval_ids: &[i64],
    withdrawal: &Withdrawal<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        -- In the order in which letters that begin to leave lock them.
        with in_force as (
            select copy_approval_id
            from copy_approvals
            where copy_approval_id = any($1) and withdrawn_at is null
            order by copy_approval_id
            for update
        )
        update copy_approvals
        set withdrawn_at = $2, withdrawn_by = $3, withdrawal_reason = $4
        from in_force
        where copy_approvals.copy_approval_id = in_force.copy_approval_id
        ",
        copy_approval_ids,
        now,
        withdrawal.withdrawn_by,
        withdrawal.reason,
    )
    .execute(db)
    .await?;
    Ok(())
}
