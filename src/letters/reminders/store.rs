//! SQL of the reminders. The caller owns the transaction.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;

use super::Schedule;
use super::schedule::MIN_REMAINING;

#[derive(Debug)]
pub(super) struct DueReminder {
    pub offer_id: String,
    pub account_id: String,
    pub sequence: i16,
}

/// A page of offers in the order of their ids.
#[derive(Debug)]
pub(super) struct ReminderPage<'a> {
    /// Exclusive.
    pub after: &'a str,
    /// Maximum number of due reminders.
    pub limit: i64,
}

/// Minimum time between two letters about an offer, even if an earlier one was late.
const MIN_INTERVAL: TimeDelta = TimeDelta::days(5);

/// Reminders that are due and not opened yet. If several are due for an offer, only the latest
/// counts.
pub(super) async fn find_due(
    db: impl PgExecutor<'_>,
    schedule: &Schedule,
    livemode: Option<bool>,
    page: &ReminderPage<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<DueReminder>> {
    sqlx::query_as!(
        DueReminder,
        r#"
        select financing_offers.offer_id, financing_offers.account_id, due.sequence as "sequence!"
        from financing_offers
        join letters first on first.offer_id = financing_offers.offer_id and first.sequence = 0
        cross join lateral (
            select state, sent_at from letters
            where letters.offer_id = financing_offers.offer_id
                -- A letter that was never sent does not matter.
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
            -- Pages through the offers.
            and financing_offers.offer_id > $9
            and financing_offers.expires_at > $5
            and ($8::boolean is null or financing_offers.livemode = $8)
            -- A bounced, held or unfinished letter blocks the next one.
            and first.state = 'sent' and last.state = 'sent'
            and last.sent_at < $6
            -- One letter per position, whatever its outcome.
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
        now + MIN_REMAINING,
        now - MIN_INTERVAL,
        page.limit,
        livemode,
        page.after,
    )
    .fetch_all(db)
    .await
}
