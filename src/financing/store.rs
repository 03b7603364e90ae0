//! The SQL of the transactions. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::Told;
use crate::stripe::{OfferId, Reason, TransactionId};

/// Writes a transaction down. False where it is known.
pub(super) async fn add(db: impl PgExecutor<'_>, told: &Told<'_>, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let transaction = &told.transaction;
    let details = &transaction.details;
    let moved_by = details.transaction.as_ref();
    let added = sqlx::query!(
        "
        insert into financing_transactions (
            transaction_id, account_id, offer_id, livemode, type, reason, currency, advance_minor, fee_minor, total_minor,
            reversed_transaction_id, charge_id, linked_payment_id, treasury_transaction_id, object, created_at, first_seen_at
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        on conflict (transaction_id) do nothing
        ",
        transaction.id.as_str(),
        transaction.account.as_str(),
        transaction.financing_offer.as_ref().map(OfferId::as_str),
        transaction.livemode,
        transaction.type_.as_str(),
        details.reason.as_ref().map(Reason::as_str),
        details.currency.to_lowercase(),
        details.advance_amount,
        details.fee_amount,
        details.total_amount,
        details.reversed_transaction.as_ref().map(TransactionId::as_str),
        moved_by.and_then(|by| by.charge.as_deref()),
        details.linked_payment,
        moved_by.and_then(|by| by.treasury_transaction.as_deref()),
        told.object,
        transaction.created_at,
        now,
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// How far an account's transactions were read from Stripe's list.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// After which to go on.
    pub(super) after_transaction_id: Option<String>,
    /// When all of them had been read last.
    pub(super) completed_at: Option<DateTime<Utc>>,
    pub(super) unreadable: i32,
}

/// How far the reading is; at the beginning where there was none.
pub(super) async fn progress(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<Progress> {
    let found = sqlx::query_as!(
        Progress,
        "
        select after_transaction_id, completed_at, unreadable
        from transaction_backfills
        where account_id = $1
        ",
        account_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.unwrap_or_default())
}

/// Writes down how far the reading is.
pub(super) async fn note_progress(
    db: impl PgExecutor<'_>,
    account_id: &str,
    progress: &Progress,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into transaction_backfills (account_id, after_transaction_id, completed_at, unreadable, changed_at)
        values ($1, $2, $3, $4, $5)
        on conflict (account_id) do update
        set after_transaction_id = $2, completed_at = $3, unreadable = $4, changed_at = $5
        ",
        account_id,
        progress.after_transaction_id,
        progress.completed_at,
        progress.unreadable,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the account has a financing that more movements are to be expected of.
pub(super) async fn is_under_way(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from financing_offers where account_id = $1 and status in ('accepted', 'paid_out')
        ) as "is_under_way!"
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}
