//! The SQL of the transactions. The caller owns the transaction.

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgExecutor};

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

/// What the transactions of a financing add up to. Minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// The financing; none for transactions that name none.
    pub offer_id: Option<String>,
    /// Lower-case ISO code.
    pub currency: String,
    /// The advance and the fee that were paid out, less what was taken back.
    pub advanced_minor: i64,
    /// What came back, less what was reversed.
    pub paid_minor: i64,
    /// What is still to come.
    pub remaining_minor: i64,
    /// Transactions of which nobody can tell what they did: not in any of the sums.
    pub unclear: i64,
}

/// The totals of an account's financings, the newest first.
pub async fn totals(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<Vec<Totals>> {
    sqlx::query_as!(
        Totals,
        r#"
        select offer_id as "offer_id?", currency as "currency!",
            coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0)::bigint as "advanced_minor!",
            coalesce(sum(sign * total_minor) filter (where effect = 'paid'), 0)::bigint as "paid_minor!",
            (coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0)
                - coalesce(sum(sign * total_minor) filter (where effect = 'paid'), 0))::bigint as "remaining_minor!",
            count(*) filter (where effect = 'unclear') as "unclear!"
        from financing_ledger
        where account_id = $1
        group by offer_id, currency
        order by max(created_at) desc, offer_id, currency
        "#,
        account_id,
    )
    .fetch_all(db)
    .await
}

/// A movement, for a report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Movement {
    /// `cptxn_…`
    pub transaction_id: String,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// The connected account.
    pub account_id: String,
    /// The financing, where Stripe names it.
    pub offer_id: Option<String>,
    /// Stripe's word.
    pub r#type: String,
    /// Stripe's reason.
    pub reason: Option<String>,
    /// `advanced`, `paid` or `unclear`: which sum it belongs to.
    pub effect: String,
    /// Lower-case ISO code.
    pub currency: String,
    /// Minor units, with the sign that it is added with.
    pub total_minor: i64,
    /// The part of the advance, likewise.
    pub advance_minor: Option<i64>,
    /// The part of the fee, likewise.
    pub fee_minor: Option<i64>,
    /// What a reversal undoes.
    pub reversed_transaction_id: Option<String>,
    /// The charge that a share was withheld from.
    pub charge_id: Option<String>,
}

/// Which movements a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Period<'a> {
    /// From this moment on.
    pub from: DateTime<Utc>,
    /// And before this one.
    pub until: DateTime<Utc>,
    /// Of this account alone.
    pub account_id: Option<&'a str>,
}

/// The movements of a period, the oldest first, as they come from the database: a report of millions holds one at a time.
pub fn movements<'a>(db: &'a mut PgConnection, period: &Period<'a>) -> BoxStream<'a, sqlx::Result<Movement>> {
    sqlx::query_as!(
        Movement,
        r#"
        select transaction_id as "transaction_id!", created_at as "created_at!", account_id as "account_id!",
            offer_id as "offer_id?", type as "type!", reason as "reason?", effect as "effect!", currency as "currency!",
            (sign * total_minor) as "total_minor!", (sign * advance_minor) as "advance_minor?",
            (sign * fee_minor) as "fee_minor?", reversed_transaction_id as "reversed_transaction_id?",
            charge_id as "charge_id?"
        from financing_ledger
        where created_at >= $1 and created_at < $2 and ($3::text is null or account_id = $3)
        order by created_at, transaction_id
        "#,
        period.from,
        period.until,
        period.account_id,
    )
    .fetch(db)
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
