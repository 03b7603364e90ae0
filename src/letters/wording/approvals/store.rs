//! SQL of the `copy_approvals` table. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::Approval;

/// The first approval of a wording for a market stands.
pub async fn approve(
    db: impl PgExecutor<'_>,
    copy_hash: &str,
    approval: &Approval<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into copy_approvals (copy_hash, market, reference, approved_by, approved_at)
        values ($1, $2, $3, $4, $5)
        on conflict (copy_hash, market) do nothing
        ",
        copy_hash,
        approval.market,
        approval.reference,
        approval.approved_by,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn is_approved(
    db: impl PgExecutor<'_>,
    copy_hash: &str,
    market: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (select from copy_approvals where copy_hash = $1 and market = $2)
            as "approved!"
        "#,
        copy_hash,
        market,
    )
    .fetch_one(db)
    .await
}

/// Whether any market has this wording approved. For content of an earlier attempt, whose market
/// was checked then.
pub async fn is_approved_anywhere(db: impl PgExecutor<'_>, copy_hash: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from copy_approvals where copy_hash = $1) as "approved!""#,
        copy_hash,
    )
    .fetch_one(db)
    .await
}
