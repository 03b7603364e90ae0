//! Queries on the view `financing_ledger`. Nothing here writes.

use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgExecutor};

use super::{Movement, MovementFilter, MovementRange, Totals};
use crate::offers;

/// Selects all columns of the movements that match a condition.
macro_rules! select_movements {
    ($condition:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Movement,
            r#"
            select transaction_id as "transaction_id!", created_at as "created_at!", account_id
                as "account_id!",
                offer_id as "offer_id?", type as "type!", reason as "reason?", effect as "effect!",
                is_withholding as "is_withholding!", currency as "currency!",
                saturated_bigint(sign * total_minor::numeric) as "total_minor!",
                saturated_bigint(sign * advance_minor::numeric) as "advance_minor?",
                saturated_bigint(sign * fee_minor::numeric) as "fee_minor?",
                reversed_transaction_id as "reversed_transaction_id?",
                charge_id as "charge_id?"
            from financing_ledger
            where "#
                + $condition,
            $($argument),+
        )
    };
}

/// The totals of an account's financings, newest first, in one mode or, for none, in both.
pub async fn totals(
    db: &mut PgConnection,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<Vec<Totals>> {
    // The status of an offer belongs to `offers`, so it is read there, with a statement of its own.
    let canceled = offers::store::canceled(&mut *db, account_id).await?;
    sqlx::query_as!(
        Totals,
        r#"
        select offer_id as "offer_id?", currency as "currency!",
            saturated_bigint(advanced) as "advanced_minor!",
            saturated_bigint(paid) as "paid_minor!",
            saturated_bigint(withheld) as "withheld_minor!",
            case when offer_id = any($3) then 0
                else saturated_bigint(advanced - paid) end as "remaining_minor!",
            unclear as "unclear!", (advanced <= 0 and has_taken_back) as "is_taken_back!",
            first_at as "first_at!",
            last_at as "last_at!"
        from (
            select offer_id, currency,
                coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0) as advanced,
                coalesce(sum(sign * total_minor) filter (where effect = 'paid'), 0) as paid,
                coalesce(sum(sign * total_minor)
                    filter (where effect = 'paid' and is_withholding), 0) as withheld,
                count(*) filter (where effect = 'unclear') as unclear,
                bool_or(effect = 'advanced' and type = 'reversal') as has_taken_back,
                min(created_at) as first_at, max(created_at) as last_at
            from financing_ledger
            where account_id = $1 and ($2::boolean is null or livemode = $2)
            group by offer_id, currency
        ) as sums
        order by first_at desc, offer_id, currency
        "#,
        account_id,
        livemode,
        &canceled,
    )
    .fetch_all(db)
    .await
}

/// Streams the movements of a range, oldest first. Only one is held in memory at a time.
pub fn movements<'a>(
    db: &'a mut PgConnection,
    range: &MovementRange<'a>,
) -> BoxStream<'a, sqlx::Result<Movement>> {
    select_movements!(
        "
        created_at >= $1 and created_at < $2 and ($3::text is null or account_id = $3)
        order by created_at, transaction_id
        ",
        range.from,
        range.until,
        range.account_id,
    )
    .fetch(db)
}

/// A page of an account's movements, newest first.
///
/// The page is selected from the table, in index order; the view computes the effects of these
/// rows only.
pub async fn page(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    filter: &MovementFilter,
    limit: i64,
) -> sqlx::Result<Vec<Movement>> {
    let after = filter.after.as_ref();
    select_movements!(
        "
        account_id = $1 and transaction_id = any(array(
            select transaction_id
            from financing_transactions
            where account_id = $1
                and ($2::text is null or offer_id = $2 or (
                    -- A reversal without a financing belongs to the one it reverses.
                    offer_id is null and exists (
                        select from financing_transactions reversed
                        where reversed.transaction_id
                                = financing_transactions.reversed_transaction_id
                            and reversed.account_id = $1 and reversed.offer_id = $2
                    )
                ))
                and ($3::text is null or type = $3)
                and ($9::boolean is null or livemode = $9)
                and created_at >= coalesce($4, '-infinity'::timestamptz)
                and created_at < coalesce($5, 'infinity'::timestamptz)
                and (created_at, transaction_id)
                    < (coalesce($6, 'infinity'::timestamptz), coalesce($7, ''))
            order by created_at desc, transaction_id desc
            limit $8
        ))
        order by created_at desc, transaction_id desc
        ",
        account_id,
        filter.offer_id,
        filter.kind,
        filter.from,
        filter.until,
        after.map(|cursor| cursor.created_at),
        after.map(|cursor| cursor.id.as_str()),
        limit,
        livemode,
    )
    .fetch_all(db)
    .await
}

/// One of an account's movements.
pub async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    transaction_id: &str,
) -> sqlx::Result<Option<Movement>> {
    select_movements!(
        "
        account_id = $1 and transaction_id = $2 and ($3::boolean is null or livemode = $3)
        ",
        account_id,
        transaction_id,
        livemode,
    )
    .fetch_optional(db)
    .await
}
