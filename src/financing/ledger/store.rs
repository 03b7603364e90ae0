//! Queries on the view `financing_ledger`, and on the sums that are kept of it
//! (`financing::sums`). Nothing here writes.

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgExecutor};

use super::super::sums::DAY;
use super::{Movement, MovementFilter, MovementRange, Totals};
use crate::database::Cursor;
use crate::offers;

/// Selects all columns of the movements that match a condition.
macro_rules! select_movements {
    ($condition:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Movement,
            r#"
            select transaction_id as "entry_id!",
                case when refill_offer_id is null then transaction_id end as "transaction_id?",
                created_at as "created_at!", account_id as "account_id!",
                offer_id as "offer_id?", type as "type!", reason as "reason?", effect as "effect!",
                is_withholding as "is_withholding!", currency as "currency!",
                saturated_bigint(sign * total_minor::numeric) as "total_minor!",
                saturated_bigint(sign * advance_minor::numeric) as "advance_minor?",
                saturated_bigint(sign * fee_minor::numeric) as "fee_minor?",
                reversed_transaction_id as "reversed_transaction_id?",
                charge_id as "charge_id?", refill_offer_id as "refill_offer_id?"
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
            saturated_bigint(discounted) as "discounted_minor!",
            case when offer_id = any($3) then 0
                else saturated_bigint(advanced - paid - discounted) end as "remaining_minor!",
            unclear as "unclear!", (advanced <= 0 and has_taken_back) as "is_taken_back!",
            first_at as "first_at!",
            last_at as "last_at!"
        from (
            select offer_id, currency,
                coalesce(sum(amount) filter (where effect = 'advanced'), 0) as advanced,
                coalesce(sum(amount) filter (where effect = 'paid'), 0) as paid,
                coalesce(sum(amount) filter (where effect = 'paid' and is_withholding), 0)
                    as withheld,
                coalesce(sum(amount) filter (where effect = 'discounted'), 0) as discounted,
                coalesce(sum(movements) filter (where effect = 'unclear'), 0)::bigint as unclear,
                bool_or(effect = 'advanced' and is_reversal) as has_taken_back,
                min(parts.first_at) as first_at, max(parts.last_at) as last_at
            from ledger_parts($1, $4, '-infinity', 'infinity') as parts
            where $2::boolean is null or livemode = $2
            group by offer_id, currency
        ) as sums
        order by first_at desc, offer_id, currency
        "#,
        account_id,
        livemode,
        &canceled,
        DAY,
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
/// The page is selected from the tables, in index order; the view computes the effects of these
/// rows only. An account has few discounts.
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
            from (
                (
                    select created_at, transaction_id
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
                        and (not $10 or coalesce(reason, '') not in (
                            'automatic_withholding', 'automatic_withholding_refund'
                        ))
                        and created_at >= coalesce($4, '-infinity'::timestamptz)
                        and created_at < coalesce($5, 'infinity'::timestamptz)
                        and (created_at, transaction_id)
                            < (coalesce($6, 'infinity'::timestamptz), coalesce($7, ''))
                    order by created_at desc, transaction_id desc
                    limit $8
                )
                union all
                select created_at, refill_offer_id
                from refill_discounts
                where account_id = $1 and ($2::text is null or offer_id = $2)
                    and coalesce($3 = 'discount', true) and coalesce(livemode = $9, true)
                    and ($4::timestamptz is null or created_at >= $4)
                    and ($5::timestamptz is null or created_at < $5)
                    and ($6::timestamptz is null or (created_at, refill_offer_id) < ($6, $7))
            ) as entries
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
        filter.without_sales,
    )
    .fetch_all(db)
    .await
}

/// The newest movements of each of these half-open ranges, at most `limit` of each, newest first.
pub async fn newest_of_each(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    ranges: &[(DateTime<Utc>, DateTime<Utc>)],
    limit: i64,
) -> sqlx::Result<Vec<Movement>> {
    let (begins, ends): (Vec<_>, Vec<_>) = ranges.iter().copied().unzip();
    select_movements!(
        "
        account_id = $1 and transaction_id = any(array(
            select newest.transaction_id
            from unnest($2::timestamptz[], $3::timestamptz[]) as range (begins, ends)
            cross join lateral (
                select transaction_id
                from (
                    (
                        select created_at, transaction_id
                        from financing_transactions
                        where account_id = $1 and ($4::boolean is null or livemode = $4)
                            and created_at >= range.begins and created_at < range.ends
                        order by created_at desc, transaction_id desc
                        limit $5
                    )
                    union all
                    select created_at, refill_offer_id
                    from refill_discounts
                    where account_id = $1 and ($4::boolean is null or livemode = $4)
                        and created_at >= range.begins and created_at < range.ends
                ) as entries
                order by created_at desc, transaction_id desc
                limit $5
            ) as newest
        ))
        order by created_at desc, transaction_id desc
        ",
        account_id,
        &begins,
        &ends,
        livemode,
        limit,
    )
    .fetch_all(db)
    .await
}

/// What remains to be paid in one currency, in minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Lower-case ISO 4217 code.
    pub currency: String,
    pub remaining_minor: i64,
}

/// The balances of all financings, or of one, after the movement at the cursor and all older ones.
pub async fn balances(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    at: &Cursor<&str>,
    offer_id: Option<&str>,
) -> sqlx::Result<Vec<Balance>> {
    sqlx::query_as!(
        Balance,
        r#"
        select currency as "currency!",
            saturated_bigint(
                coalesce(sum(amount) filter (where effect = 'advanced'), 0)
                - coalesce(sum(amount) filter (where effect in ('paid', 'discounted')), 0)
            ) as "remaining_minor!"
        from (
            -- The days before that of the movement, and the quarters of an hour of its day before
            -- that of the movement.
            select livemode, offer_id, currency, effect, amount
            from ledger_sums
            where account_id = $1 and minutes = 1440 and begins_at < ledger_period(1440, $3)
            union all
            select livemode, offer_id, currency, effect, amount
            from ledger_sums
            where account_id = $1 and minutes = 15 and begins_at >= ledger_period(1440, $3)
                and begins_at < ledger_period(15, $3)
            union all
            -- What these sums do not have.
            select livemode, offer_id, currency, effect, sign * total_minor::numeric
            from financing_ledger
            where account_id = $1 and (created_at, transaction_id) <= ($3, $4)
                and created_at >= least(ledger_period(15, $3), coalesce(
                    (select covered_until from ledger_coverage where account_id = $1), '-infinity'
                ))
        ) as parts
        where ($2::boolean is null or livemode = $2) and ($5::text is null or offer_id = $5)
        group by currency
        order by currency
        "#,
        account_id,
        livemode,
        at.created_at,
        at.id,
        offer_id,
    )
    .fetch_all(db)
    .await
}

/// When each financing of an account was paid out.
pub async fn payouts(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<Vec<(String, DateTime<Utc>)>> {
    let payouts = sqlx::query!(
        r#"
        select offer_id as "offer_id!", min(created_at) as "paid_out_at!"
        from financing_transactions
        where account_id = $1 and ($2::boolean is null or livemode = $2)
            and type = 'payout' and offer_id is not null
        group by offer_id
        "#,
        account_id,
        livemode,
    )
    .fetch_all(db)
    .await?;
    Ok(payouts.into_iter().map(|row| (row.offer_id, row.paid_out_at)).collect())
}

/// The times of an account's first and last movement; none without a movement.
pub async fn span(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
) -> sqlx::Result<Option<(DateTime<Utc>, DateTime<Utc>)>> {
    let span = sqlx::query!(
        "
        select min(created_at) as first_at, max(created_at) as last_at
        from financing_transactions
        where account_id = $1 and ($2::boolean is null or livemode = $2)
        ",
        account_id,
        livemode,
    )
    .fetch_one(db)
    .await?;
    Ok(span.first_at.zip(span.last_at))
}

/// The time of the newest movement before `before`, or of the newest of all.
pub async fn newest_before(
    db: impl PgExecutor<'_>,
    account_id: &str,
    livemode: Option<bool>,
    before: Option<DateTime<Utc>>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "
        select created_at
        from financing_transactions
        where account_id = $1 and ($2::boolean is null or livemode = $2)
            and created_at < coalesce($3, 'infinity'::timestamptz)
        order by created_at desc
        limit 1
        ",
        account_id,
        livemode,
        before,
    )
    .fetch_optional(db)
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
