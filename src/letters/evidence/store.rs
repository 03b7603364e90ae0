//! The SQL of the evidence. The caller owns the transaction. Adds rows and reads them, and knows no way to change one.

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgExecutor};

use super::{AttemptOutcome, hash};
use crate::database::storable;
use crate::letters::store::{Content, Letter};

/// Writes down that these bytes are about to be handed over.
pub async fn begin(
    db: impl PgExecutor<'_>,
    letter: &Letter,
    content: &Content,
    message: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into delivery_attempts (
            letter_id, attempt, offer_id, account_id, kind, locale, message_id, recipient, subject,
            message, message_sha256, template_version, copy_hash, disclaimer_variant,
            approval_market, approval_reference, approved_by, consent_checked_at, attempted_at
        )
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, approval.market,
            approval.reference, approval.approved_by, $15, $15
        from (select) nothing
        left join lateral (
            -- What was sent before is sent again word for word: the approval is the one of the
            -- first time.
            select market, reference, approved_by from copy_approvals
            where copy_hash = $13 and market = $16
            union all
            select approval_market, approval_reference, approved_by from delivery_attempts
            where letter_id = $1 and copy_hash = $13 and $16 is null
            limit 1
        ) approval on true
        ",
        letter.letter_id,
        letter.attempt,
        letter.offer_id,
        letter.account_id,
        content.kind,
        content.locale,
        letter.message_id,
        content.recipient,
        content.subject,
        message,
        &hash(message)[..],
        content.template_version,
        content.copy_hash,
        content.disclaimer_variant,
        now,
        content.market,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down what came of a letter's last handing over, once.
pub async fn answer(
    db: impl PgExecutor<'_>,
    letter: &Letter,
    outcome: AttemptOutcome,
    answer: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into delivery_attempt_results (delivery_attempt_id, outcome, reply, recorded_at)
        select delivery_attempt_id, $3, $4, $5 from delivery_attempts
        where letter_id = $1 and attempt = $2
        on conflict (delivery_attempt_id) do nothing
        ",
        letter.letter_id,
        letter.attempt,
        outcome.as_str(),
        storable(answer),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The bytes of a handing over, and the hash that was written down with them.
#[derive(Debug)]
pub struct Message {
    /// Counted from 1.
    pub attempt: i32,
    /// As they went over the wire; none where they were erased.
    pub bytes: Option<Vec<u8>>,
    /// Their SHA-256.
    pub sha256: Vec<u8>,
}

/// The last handing over of a letter.
pub async fn last_message(
    db: impl PgExecutor<'_>,
    letter_id: &str,
) -> sqlx::Result<Option<Message>> {
    sqlx::query_as!(
        Message,
        r#"
        select attempt, message as "bytes?", message_sha256 as sha256
        from delivery_attempts
        where letter_id = $1
        order by attempt desc
        limit 1
        "#,
        letter_id,
    )
    .fetch_optional(db)
    .await
}

/// Which letters a report is about: those that were handed over last in the period, or, where they never were, opened in it.
#[derive(Clone, Copy, Debug)]
pub struct Period<'a> {
    /// From this moment on.
    pub from: DateTime<Utc>,
    /// And before this one.
    pub until: DateTime<Utc>,
    /// To this account alone.
    pub account_id: Option<&'a str>,
}

/// A letter with the proof of what was sent, for a report. The names are those of the columns.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "docs/data-model.md explains the columns; the report names them")]
pub struct Line {
    pub letter_id: String,
    pub offer_id: String,
    pub account_id: String,
    pub kind: String,
    pub locale: Option<String>,
    pub disclaimer_variant: Option<String>,
    pub state: String,
    pub reason: Option<String>,
    pub recipient: Option<String>,
    pub subject: Option<String>,
    pub message_id: String,
    pub message_sha256: Option<Vec<u8>>,
    pub copy_hash: Option<String>,
    pub approval_market: Option<String>,
    pub approval_reference: Option<String>,
    pub approved_by: Option<String>,
    pub attempt: i32,
    pub uncertain_attempts: i32,
    pub created_at: DateTime<Utc>,
    pub consent_checked_at: Option<DateTime<Utc>>,
    pub first_attempted_at: Option<DateTime<Utc>>,
    pub last_attempted_at: Option<DateTime<Utc>>,
    pub sent_at: Option<DateTime<Utc>>,
    pub relay_reply: Option<String>,
    pub told_at: Option<DateTime<Utc>>,
    pub told_request_id: Option<String>,
}

/// The letters of a period in their order, as they come from the database.
pub fn lines<'a>(
    db: &'a mut PgConnection,
    period: &Period<'a>,
) -> BoxStream<'a, sqlx::Result<Line>> {
    sqlx::query_as!(
        Line,
        r#"
        with chosen as (
            -- By their last handing over, and where there was none, by their opening.
            select delivery_attempt_id, letter_id, attempted_at as at
            from delivery_attempts
            where attempted_at >= $1 and attempted_at < $2 and ($3::text is null or account_id = $3)
                and not exists (
                    select from delivery_attempts later
                    where later.letter_id = delivery_attempts.letter_id
                        and later.attempt > delivery_attempts.attempt
                )
            union all
            select null, letter_id, created_at
            from letters
            where created_at >= $1 and created_at < $2 and ($3::text is null or account_id = $3)
                and not exists (
                    select from delivery_attempts
                    where delivery_attempts.letter_id = letters.letter_id
                )
        )
        select letters.letter_id, letters.offer_id, letters.account_id, letters.kind,
            letters.locale, letters.disclaimer_variant, letters.state, reason,
            coalesce(last.recipient, letters.recipient) as "recipient?",
            coalesce(last.subject, letters.subject) as "subject?", letters.message_id,
            last.message_sha256 as "message_sha256?",
            coalesce(last.copy_hash, letters.copy_hash) as "copy_hash?",
            last.approval_market as "approval_market?", last.approval_reference
            as "approval_reference?",
            last.approved_by as "approved_by?", letters.attempt, uncertain_attempts, created_at,
            last.consent_checked_at as "consent_checked_at?",
            first.attempted_at as "first_attempted_at?", last.attempted_at as "last_attempted_at?",
            sent_at,
            -- What was erased in the letter is still in the proof.
            coalesce(letters.relay_reply, results.reply) as "relay_reply?",
            deliveries.delivered_at as "told_at?", deliveries.response_request_id
            as "told_request_id?"
        from chosen
        join letters on letters.letter_id = chosen.letter_id
        left join delivery_attempts last on last.delivery_attempt_id = chosen.delivery_attempt_id
        left join delivery_attempt_results results
            on results.delivery_attempt_id = chosen.delivery_attempt_id
        left join lateral (
            select attempted_at from delivery_attempts
                where delivery_attempts.letter_id = chosen.letter_id order by attempt limit 1
        ) first on true
        left join deliveries
            on deliveries.offer_id = letters.offer_id and deliveries.letter_id = letters.letter_id
        order by chosen.at, chosen.letter_id
        "#,
        period.from,
        period.until,
        period.account_id,
    )
    .fetch(db)
}
