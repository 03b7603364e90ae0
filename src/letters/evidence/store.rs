//! SQL of the evidence of one letter or account: results of attempts, and reads. The one update of
//! evidence is [`erase_account`], which a trigger and the service's privileges prevent everywhere but
//! in an operator's `account erase --with-proof`. The caller owns the transaction.

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgExecutor};

use super::AttemptOutcome;
use crate::database::storable;
use crate::letters::store::Letter;

/// The market of an earlier attempt with this wording, if its approval is still in force.
pub async fn approved_market(
    db: impl PgExecutor<'_>,
    letter_id: &str,
    copy_hash: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "
        select market
        from delivery_attempts
        join copy_approvals
            on copy_approvals.copy_hash = delivery_attempts.copy_hash
            and market = approval_market and withdrawn_at is null
        where letter_id = $1 and delivery_attempts.copy_hash = $2
        order by attempt desc
        limit 1
        ",
        letter_id,
        copy_hash,
    )
    .fetch_optional(db)
    .await
}

/// Records the result of a letter's current attempt. A second call does nothing.
pub async fn record_result(
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

/// The bytes of an attempt with their recorded hash.
#[derive(Debug)]
pub struct SentMessage {
    /// Counted from 1.
    pub attempt: i32,
    /// As sent; `None` if they were erased.
    pub bytes: Option<Vec<u8>>,
    pub sha256: Vec<u8>,
}

/// Of the letter's last attempt.
pub async fn last_message(
    db: impl PgExecutor<'_>,
    letter_id: &str,
) -> sqlx::Result<Option<SentMessage>> {
    sqlx::query_as!(
        SentMessage,
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

/// An attempt with what came of it, without the message. The fields are named as the columns.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AttemptRecord {
    pub letter_id: String,
    /// Counted from 1.
    pub attempt: i32,
    pub kind: String,
    pub locale: String,
    /// The bare address, or its hash once erased.
    pub recipient: String,
    pub subject: String,
    /// In hexadecimal.
    pub message_sha256: String,
    /// Whether the message was not erased.
    pub has_message: bool,
    pub copy_hash: Option<String>,
    pub disclaimer_variant: Option<String>,
    /// None, like the next two, for test data.
    pub approval_market: Option<String>,
    pub approval_reference: Option<String>,
    pub approved_by: Option<String>,
    pub consent_checked_at: DateTime<Utc>,
    pub attempted_at: DateTime<Utc>,
    /// None while the attempt is under way.
    pub outcome: Option<String>,
    pub reply: Option<String>,
    pub recorded_at: Option<DateTime<Utc>>,
}

/// The attempts of these letters, in order of time.
pub async fn attempts_of(
    db: impl PgExecutor<'_>,
    letter_ids: &[String],
) -> sqlx::Result<Vec<AttemptRecord>> {
    sqlx::query_as!(
        AttemptRecord,
        r#"
        select letter_id, attempt, kind, locale, recipient, subject,
            encode(message_sha256, 'hex') as "message_sha256!",
            message is not null as "has_message!", copy_hash, disclaimer_variant, approval_market,
            approval_reference, approved_by, consent_checked_at, attempted_at,
            outcome as "outcome?", reply as "reply?", recorded_at as "recorded_at?"
        from delivery_attempts
        left join delivery_attempt_results using (delivery_attempt_id)
        where letter_id = any($1)
        order by attempted_at, attempt
        "#,
        letter_ids,
    )
    .fetch_all(db)
    .await
}

/// Selects letters by their last attempt, or by their creation if they have none.
#[derive(Clone, Copy, Debug)]
pub struct EvidencePeriod<'a> {
    /// Inclusive.
    pub from: DateTime<Utc>,
    /// Exclusive.
    pub until: DateTime<Utc>,
    /// Only letters to this account.
    pub account_id: Option<&'a str>,
}

/// A letter with its evidence, for the report. The fields are named as the columns; see
/// docs/data-model.md.
#[derive(Clone, Debug)]
pub struct EvidenceRecord {
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
    pub delivered_at: Option<DateTime<Utc>>,
    pub response_request_id: Option<String>,
}

/// In order of time, streamed from the database.
pub fn stream_records<'a>(
    db: &'a mut PgConnection,
    period: &EvidencePeriod<'a>,
) -> BoxStream<'a, sqlx::Result<EvidenceRecord>> {
    sqlx::query_as!(
        EvidenceRecord,
        r#"
        with chosen as (
            -- By the last attempt, or by the creation if there is none.
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
            attempts.attempted_at as "first_attempted_at?", last.attempted_at as "last_attempted_at?",
            -- A letter that bounced and was sent again keeps the time in its evidence alone.
            coalesce(letters.sent_at, attempts.sent_at) as "sent_at?",
            -- A letter that was refused before its message has no attempt.
            coalesce(results.reply, letters.relay_reply) as "relay_reply?",
            deliveries.delivered_at as "delivered_at?",
            deliveries.response_request_id as "response_request_id?"
        from chosen
        join letters on letters.letter_id = chosen.letter_id
        left join delivery_attempts last on last.delivery_attempt_id = chosen.delivery_attempt_id
        left join delivery_attempt_results results
            on results.delivery_attempt_id = chosen.delivery_attempt_id
        left join lateral (
            select min(attempted_at) as attempted_at,
                max(recorded_at) filter (where outcome = 'sent') as sent_at
            from delivery_attempts left join delivery_attempt_results using (delivery_attempt_id)
            where delivery_attempts.letter_id = chosen.letter_id
        ) attempts on true
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

/// Erases the message, the recipient and the subject of an account's delivery attempts. The hash of
/// the address stays, so that a later enquiry about an address can be answered. Fails for the
/// service's own role, which has no right to update evidence.
pub async fn erase_account(tx: &mut PgConnection, account_id: &str) -> sqlx::Result<u64> {
    // The trigger that keeps evidence append-only lets this transaction pass.
    sqlx::query_scalar!("select set_config('courier.erasing', 'yes', true)")
        .fetch_one(&mut *tx)
        .await?;
    let erased = sqlx::query!(
        "
        update delivery_attempts
        set message = null,
            recipient = 'sha256:' || encode(sha256(convert_to(lower(recipient), 'UTF8')), 'hex'),
            subject = ''
        where account_id = $1 and recipient not like 'sha256:%'
        ",
        account_id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(erased.rows_affected())
}

/// A wording in which letters were handed over, with the approval that held at the time.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SentWording {
    pub copy_hash: Option<String>,
    /// `None` for test data, which needs no approval; so are the three that follow.
    pub market: Option<String>,
    /// Stripe's reference.
    pub reference: Option<String>,
    pub approved_by: Option<String>,
    pub approved_at: Option<DateTime<Utc>>,
    /// How many letters of the account.
    pub letters: i64,
    pub last_attempted_at: DateTime<Utc>,
}

/// The wordings of an account's letters, the newest first.
pub async fn wordings_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Vec<SentWording>> {
    sqlx::query_as!(
        SentWording,
        r#"
        select copy_hash, approval_market as market, approval_reference as reference, approved_by,
            (
                select max(approved_at)
                from copy_approvals
                where copy_approvals.copy_hash = attempts.copy_hash
                    and market = approval_market and reference = approval_reference
            ) as approved_at,
            count(distinct letter_id) as "letters!", max(attempted_at) as "last_attempted_at!"
        from delivery_attempts attempts
        where account_id = $1
        group by copy_hash, approval_market, approval_reference, approved_by
        order by max(attempted_at) desc
        "#,
        account_id,
    )
    .fetch_all(db)
    .await
}

/// Counts the delivery attempts of an account that still hold the message.
pub async fn count_messages(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<u64> {
    let messages = sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from delivery_attempts
        where account_id = $1 and message is not null
        "#,
        account_id,
    )
    .fetch_one(db)
    .await?;
    Ok(messages.unsigned_abs())
}

/// Whether the account has a delivery attempt, erased or not.
pub async fn knows_account(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from delivery_attempts where account_id = $1) as "exists!""#,
        account_id,
    )
    .fetch_one(db)
    .await
}
