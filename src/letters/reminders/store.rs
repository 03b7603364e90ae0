//! SQL of the reminders. The caller owns the transaction.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;

use super::Schedule;

/// A reminder to be opened.
#[derive(Debug)]
pub struct DueReminder {
    pub offer_id: String,
    pub account_id: String,
    /// The position in the offer's sequence.
    pub sequence: i16,
}

/// Minimum time between two letters about an offer, even if an earlier one was late.
const MIN_INTERVAL: TimeDelta = TimeDelta::days(5);

/// The reminders of these offers that are due and not opened yet. If several are due for an offer,
/// only the latest counts.
pub async fn find_due(
    db: impl PgExecutor<'_>,
    offer_ids: &[String],
    schedule: &Schedule,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<DueReminder>> {
    sqlx::query_as!(
        DueReminder,
        r#"
        select first.offer_id, first.account_id, due.sequence as "sequence!"
        from letters first
        cross join lateral (
            select state, sent_at
            from letters
            where letters.offer_id = first.offer_id
                -- A letter that was never sent does not matter.
                and state not in ('withdrawn', 'suppressed')
            order by sequence desc, resend_number desc
            limit 1
        ) last
        cross join lateral (
            select max(sequence) as sequence from letters where letters.offer_id = first.offer_id
        ) newest
        cross join lateral (
            select case
                when $4 and first.sent_at + interval '44 days' <= $5
                    then (2 + floor(
                        extract(epoch from $5 - first.sent_at - interval '14 days') / 86400 / 30
                    ))::smallint
                when $3 and first.sent_at + interval '14 days' <= $5 then 2::smallint
                when $2 and first.sent_at + interval '7 days' <= $5 then 1::smallint
            end as sequence
        ) due
        where first.offer_id = any($1) and first.sequence = 0 and first.resend_number = 0
            -- A bounced, held or unfinished letter blocks the next one.
            and first.state = 'sent' and last.state = 'sent'
            and last.sent_at < $6
            -- One letter per position, whatever its outcome.
            and due.sequence > newest.sequence
        order by first.offer_id
        "#,
        offer_ids,
        schedule.after_7_days,
        schedule.after_14_days,
        schedule.every_30_days,
        now,
        now - MIN_INTERVAL,
    )
    .fetch_all(db)
    .await
}
