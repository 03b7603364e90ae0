//! The SQL of the reminders. The caller owns the transaction.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;

use super::Schedule;
use super::schedule::MIN_LEFT;

/// A reminder that is due.
#[derive(Debug)]
pub(super) struct Due {
    pub offer_id: String,
    pub account_id: String,
    pub sequence: i16,
}

/// A part of the offers, in the order of their ids.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// Those after this one.
    pub after: &'a str,
    /// At most so many that are due.
    pub most: i64,
}

/// From one letter about an offer to the next, whatever was late.
const MIN_APART: TimeDelta = TimeDelta::days(5);

/// The reminders that are due and not opened yet, one for an offer: the last one that is, where several are.
pub(super) async fn find_due(
    db: impl PgExecutor<'_>,
    schedule: &Schedule,
    livemode: Option<bool>,
    page: &Page<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"
        select financing_offers.offer_id, financing_offers.account_id, due.sequence as "sequence!"
        from financing_offers
        join letters first on first.offer_id = financing_offers.offer_id and first.sequence = 0
        cross join lateral (
            select state, sent_at from letters
            where letters.offer_id = financing_offers.offer_id
                -- One that never went out says nothing about those after it.
                and state not in ('withdrawn', 'suppressed')
            order by sequence desc
            limit 1
        ) last
        cross join lateral (
            select max(sequence) as sequence from letters
                where letters.offer_id = financing_offers.offer_id
        ) newest
        cross join lateral (
            select case
                when $3 and first.sent_at + interval '44 days' <= $4
                    then (2 + floor(extract(epoch from $4 - first.sent_at - interval '14 days') / 86400 / 30))::smallint
                when $2 and first.sent_at + interval '14 days' <= $4 then 2::smallint
                when $1 and first.sent_at + interval '7 days' <= $4 then 1::smallint
            end as sequence
        ) due
        where financing_offers.status = 'delivered'
            -- A run walks through the offers once.
            and financing_offers.offer_id > $9
            and financing_offers.expires_at > $5
            and ($8::boolean is null or financing_offers.livemode = $8)
            -- One that came back, was held or is still under way says: not now.
            and first.state = 'sent' and last.state = 'sent'
            and last.sent_at < $6
            -- Each position has one letter, whatever became of it.
            and due.sequence > newest.sequence
            and not exists (
                select from opt_outs where opt_outs.account_id = financing_offers.account_id
                    and ended_at is null
            )
        order by financing_offers.offer_id
        limit $7
        "#,
        schedule.after_7_days,
        schedule.after_14_days,
        schedule.every_30_days,
        now,
        now + MIN_LEFT,
        now - MIN_APART,
        page.most,
        livemode,
        page.after,
    )
    .fetch_all(db)
    .await
}
