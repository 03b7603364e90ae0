//! The SQL of the transactions. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::Observation;
use crate::database::json_text;
use crate::stripe::{OfferId, Reason, TransactionId};

/// Writes a transaction down. False where it is known.
pub(super) async fn add(
    db: impl PgExecutor<'_>,
    told: &Observation<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let transaction = &told.transaction;
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
        json_text(told.object),
        transaction.created_at,
        now,
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// A reading of an account's list that is under way.
#[derive(Debug)]
pub(super) struct BackfillPass {
    /// When its first page was asked for.
    pub(super) started_at: DateTime<Utc>,
    /// After which to go on; none at the beginning.
    pub(super) after_transaction_id: Option<String>,
    /// Whatever was in the list at this moment is known.
    pub(super) completed_at: Option<DateTime<Utc>>,
    /// Goes past that all the same.
    pub(super) is_full: bool,
    /// Entries that were passed over so far.
    pub(super) skipped: i32,
}

/// Begins a reading, all the way down where somebody asked for that; or goes on with the one that was cut off. What was read in another
/// mode is nothing to it.
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

/// Whether an account's list was read to its end in this mode, and nothing is left of a wish to read it again.
pub(super) async fn was_read(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: bool,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from transaction_backfills
            where account_id = $1 and coalesce(livemode = $2, true) and completed_at is not null
                and started_at is null and full_pass_requested_at is null
        ) as "was_read!"
        "#,
        account_id,
        livemode,
    )
    .fetch_one(db)
    .await
}

/// Writes down how far the reading is.
pub(super) async fn note_page(
    db: impl PgExecutor<'_>,
    account_id: &str,
    reading: &BackfillPass,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update transaction_backfills
        set started_at = $2, after_transaction_id = $3, skipped = $4, changed_at = $5
        where account_id = $1
        ",
        account_id,
        reading.started_at,
        reading.after_transaction_id,
        reading.skipped,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What is known after a reading.
#[derive(Debug)]
pub(super) struct PassOutcome {
    /// As [`BackfillPass::completed_at`].
    pub(super) completed_at: Option<DateTime<Utc>>,
    /// Entries that it passed over; none where it saw nothing.
    pub(super) unreadable: Option<i32>,
}

/// Ends a reading. True where somebody asked for another one since it began.
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
        returning full_pass_requested_at is not null as "is_asked_again!"
        "#,
        account_id,
        outcome.completed_at,
        outcome.unreadable,
        now,
    )
    .fetch_one(db)
    .await
}

/// Writes down, during a reading, that the next one is to go all the way down.
pub(super) async fn ask_again(
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

/// Whether an offer of the account says that a financing is under way, or our sums were others than Stripe's when they were compared
/// last.
pub(super) async fn is_to_be_watched(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from financing_offers
            where account_id = $1 and status in ('accepted', 'paid_out')
                and ($2::boolean is null or livemode = $2)
        ) or exists (
            select from financing_summaries where account_id = $1 and differs_since is not null
        ) as "is_to_be_watched!"
        "#,
        account_id,
        livemode,
    )
    .fetch_one(db)
    .await
}

/// Entries of Stripe's lists that nobody could read or keep when they were read last.
pub async fn unreadable(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(unreadable), 0) as "sum!" from transaction_backfills where unreadable > 0"#
    )
    .fetch_one(db)
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
