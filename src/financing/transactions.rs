//! Records financing transactions. A transaction never changes, so each is stored once, by its id.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

use crate::database::json_text;
use crate::offers::stale::Cancellation;
use crate::stripe::{FinancingTransaction, OfferId, Reason, TransactionId};

/// A transaction received from Stripe.
#[derive(Debug)]
pub struct ObservedTransaction<'a> {
    pub transaction: FinancingTransaction,
    /// The complete JSON object, stored unchanged.
    pub object: &'a Value,
}

/// A stored transaction, as an operator finds it.
#[derive(Clone, Debug)]
pub struct FoundTransaction {
    pub account_id: String,
    pub offer_id: Option<String>,
    /// `payout`, `payment`, …
    pub r#type: String,
    pub currency: String,
    pub total_minor: i64,
    pub created_at: DateTime<Utc>,
}

pub async fn find(
    db: impl PgExecutor<'_>,
    transaction_id: &str,
) -> sqlx::Result<Option<FoundTransaction>> {
    sqlx::query_as!(
        FoundTransaction,
        "
        select account_id, offer_id, type, currency, total_minor, created_at
        from financing_transactions
        where transaction_id = $1
        ",
        transaction_id,
    )
    .fetch_optional(db)
    .await
}

/// Whether a transaction was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Inserted,
    Duplicate,
}

/// Stores a transaction in the caller's database transaction. A second call with the same id
/// changes nothing.
pub async fn record(
    tx: &mut PgConnection,
    new: &ObservedTransaction<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Recorded> {
    let transaction = &new.transaction;
    let details = &transaction.details;
    let moved_by = details.transaction.as_ref();
    let added = sqlx::query!(
        "
        insert into financing_transactions (
            transaction_id, account_id, offer_id, livemode, type, reason, currency, advance_minor,
            fee_minor, total_minor, reversed_transaction_id, charge_id, linked_payment_id,
            treasury_transaction_id, object, created_at, first_seen_at
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::text::json,
            $16, $17)
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
        json_text(new.object),
        transaction.created_at,
        now,
    )
    .execute(tx)
    .await?;
    Ok(if added.rows_affected() == 1 { Recorded::Inserted } else { Recorded::Duplicate })
}

/// The latest reversal of each financing that was canceled.
pub async fn cancellations(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Cancellation>> {
    // The partial index `financing_transactions_cancellations` has these rows in this order.
    sqlx::query_as!(
        Cancellation,
        r#"
        select offer_id as "offer_id!", max(created_at) as "canceled_at!"
        from financing_transactions
        where type = 'reversal' and reason = 'financing_cancellation' and offer_id is not null
        group by offer_id
        "#
    )
    .fetch_all(db)
    .await
}

/// Whether the ledger, the summaries, the backfills or the locales have a row of the account.
pub async fn knows_account(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (select from account_locales where account_id = $1)
            or exists (select from financing_transactions where account_id = $1)
            or exists (select from financing_summaries where account_id = $1)
            or exists (select from transaction_backfills where account_id = $1)
        as "exists!"
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}
