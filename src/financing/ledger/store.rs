//! The SQL of the ledger: reading alone.

use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgExecutor};

use super::{Movement, Period, Totals, Wanted};

/// Movements with all that is told of them, by a condition.
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

/// The totals of an account's financings, the newest first; of one mode alone, or of both.
pub async fn totals(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<Vec<Totals>> {
    sqlx::query_as!(
        Totals,
        r#"
        select sums.offer_id as "offer_id?", sums.currency as "currency!",
            saturated_bigint(advanced) as "advanced_minor!",
            saturated_bigint(paid) as "paid_minor!", saturated_bigint(withheld)
            as "withheld_minor!",
            case when canceled.offer_id is null
                then saturated_bigint(advanced - paid) else 0 end as "remaining_minor!",
            unclear as "unclear!", (advanced <= 0 and has_taken_back) as "is_taken_back!",
            first_at as "first_at!",
            last_at as "last_at!"
        from (
            select offer_id, currency,
                coalesce(sum(sign * total_minor) filter (where effect = 'advanced'), 0) as advanced,
                coalesce(sum(sign * total_minor) filter (where effect = 'paid'), 0) as paid,
                coalesce(sum(sign * total_minor) filter (where effect = 'paid' and is_withholding), 0) as withheld,
                count(*) filter (where effect = 'unclear') as unclear,
                bool_or(effect = 'advanced' and type = 'reversal') as has_taken_back,
                min(created_at) as first_at, max(created_at) as last_at
            from financing_ledger
            where account_id = $1 and ($2::boolean is null or livemode = $2)
            group by offer_id, currency
        ) as sums
        left join financing_offers as canceled
            on canceled.offer_id = sums.offer_id and canceled.account_id = $1
                and canceled.status = 'canceled'
        order by first_at desc, sums.offer_id, sums.currency
        "#,
        account_id,
        livemode,
    )
    .fetch_all(db)
    .await
}

/// The movements of a period, the oldest first, as they come from the database: a report of millions holds one at a time.
pub fn movements<'a>(
    db: &'a mut PgConnection,
    period: &Period<'a>,
) -> BoxStream<'a, sqlx::Result<Movement>> {
    select_movements!(
        "
        created_at >= $1 and created_at < $2 and ($3::text is null or account_id = $3)
        order by created_at, transaction_id
        ",
        period.from,
        period.until,
        period.account_id,
    )
    .fetch(db)
}

/// Some of an account's movements, the newest first. Chosen from the rows alone, in the order of their index; only those that are
/// chosen are looked at through the ledger.
pub async fn page(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    wanted: &Wanted,
    limit: i64,
) -> sqlx::Result<Vec<Movement>> {
    let after = wanted.after.as_ref();
    select_movements!(
        "
        account_id = $1 and transaction_id = any(array(
            select transaction_id
            from financing_transactions
            where account_id = $1
                and ($2::text is null or offer_id = $2 or (
                    -- A reversal that names no financing belongs to its original's.
                    offer_id is null and exists (
                        select from financing_transactions reversed
                        where reversed.transaction_id = financing_transactions.reversed_transaction_id
                            and reversed.account_id = $1 and reversed.offer_id = $2
                    )
                ))
                and ($3::text is null or type = $3)
                and ($9::boolean is null or livemode = $9)
                and created_at >= coalesce($4, '-infinity'::timestamptz)
                and created_at < coalesce($5, 'infinity'::timestamptz)
                and (created_at, transaction_id) < (coalesce($6, 'infinity'::timestamptz), coalesce($7, ''))
            order by created_at desc, transaction_id desc
            limit $8
        ))
        order by created_at desc, transaction_id desc
        ",
        account_id,
        wanted.offer_id,
        wanted.kind,
        wanted.from,
        wanted.until,
        after.map(|place| place.created_at),
        after.map(|place| place.id.as_str()),
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
