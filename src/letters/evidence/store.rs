//! SQL of the evidence: inserts, each together with the change of the letter's state that it proves,
//! and reads. The one update of evidence is [`erase_account`], which a trigger and
//! the service's privileges prevent everywhere but in an operator's `account erase --with-proof`.
//! The caller owns the transaction.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgExecutor};

use super::{AttemptOutcome, hash};
use crate::database::{json_text, storable};
use crate::letters::store::Letter;
use crate::letters::transition::{Begun, NewAttempt};

/// Moves waiting letters to `sending` with their content and records the attempts with their exact
/// bytes. Letters that are not waiting, or whose approval is not in force, are left alone. Called by
/// [`crate::letters::transition::begin_all`] only.
pub(in crate::letters) async fn begin_attempts(
    tx: &mut PgConnection,
    attempts: &[NewAttempt<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Begun>> {
    let permissions = lock_permissions(&mut *tx, attempts).await?;
    let begun = permissions.iter().map(|it| match (it.is_waiting, it.is_approved) {
        (false, _) => Begun::NotWaiting,
        (true, false) => Begun::NotApproved,
        (true, true) => Begun::Sending,
    });
    let begun: Vec<Begun> = begun.collect();
    let mut columns = Columns::default();
    for (attempt, permission) in attempts.iter().zip(permissions) {
        if permission.is_waiting && permission.is_approved {
            columns.add(attempt, permission);
        }
    }
    move_to_sending(&mut *tx, &columns, now).await?;
    insert_attempts(tx, &columns, now).await?;
    Ok(begun)
}

/// Whether a letter may begin to leave, until the transaction ends.
struct Permission {
    is_waiting: bool,
    is_approved: bool,
    /// Of the approval; none where none is required.
    reference: Option<String>,
    approved_by: Option<String>,
}

/// An approval that was withdrawn since a letter was written is noticed here; a withdrawal waits for
/// the attempts that begin under it.
async fn lock_permissions(
    tx: &mut PgConnection,
    attempts: &[NewAttempt<'_>],
) -> sqlx::Result<Vec<Permission>> {
    let letters: Vec<String> = attempts.iter().map(|it| it.letter.letter_id.clone()).collect();
    let hashes: Vec<Option<String>> =
        attempts.iter().map(|it| it.content.copy_hash.clone()).collect();
    let markets: Vec<Option<String>> = attempts.iter().map(NewAttempt::market).collect();
    sqlx::query_as!(
        Permission,
        r#"
        with new as (
            select *
            from unnest($1::text[], $2::text[], $3::text[]) with ordinality
                as new (letter_id, copy_hash, market, position)
        ),
        approval as (
            select copy_hash, market, reference, approved_by
            from copy_approvals
            where (copy_hash, market) in (select copy_hash, market from new)
                and withdrawn_at is null
            order by copy_approval_id
            for share
        ),
        waiting as (
            select letter_id
            from letters
            where letter_id in (select letter_id from new) and state = 'waiting'
            order by offer_id, letter_id
            for update
        )
        select waiting.letter_id is not null as "is_waiting!",
            new.market is null or approval.market is not null as "is_approved!",
            approval.reference as "reference?", approval.approved_by as "approved_by?"
        from new
        left join waiting using (letter_id)
        left join approval using (copy_hash, market)
        order by new.position
        "#,
        &letters,
        &hashes as &[Option<String>],
        &markets as &[Option<String>],
    )
    .fetch_all(tx)
    .await
}

/// The columns of attempts that begin, one array each.
#[derive(Default)]
struct Columns {
    letter_id: Vec<String>,
    attempt: Vec<i32>,
    offer_id: Vec<String>,
    account_id: Vec<String>,
    kind: Vec<String>,
    locale: Vec<String>,
    message_id: Vec<String>,
    recipient: Vec<String>,
    subject: Vec<String>,
    body_text: Vec<String>,
    body_html: Vec<String>,
    template_version: Vec<String>,
    offered_terms: Vec<Option<String>>,
    copy_hash: Vec<Option<String>>,
    disclaimer_variant: Vec<Option<String>>,
    approval_market: Vec<Option<String>>,
    approval_reference: Vec<Option<String>>,
    approved_by: Vec<Option<String>>,
    message: Vec<Vec<u8>>,
    message_sha256: Vec<Vec<u8>>,
}

impl Columns {
    fn add(&mut self, attempt: &NewAttempt<'_>, permission: Permission) {
        let NewAttempt { letter, content, message } = attempt;
        self.letter_id.push(letter.letter_id.clone());
        self.attempt.push(letter.attempt);
        self.offer_id.push(letter.offer_id.clone());
        self.account_id.push(letter.account_id.clone());
        self.kind.push(content.kind.clone());
        self.locale.push(content.locale.clone());
        self.message_id.push(letter.message_id.clone());
        self.recipient.push(content.recipient.clone());
        self.subject.push(content.subject.clone());
        self.body_text.push(content.text.clone());
        self.body_html.push(content.html.clone());
        self.template_version.push(content.template_version.clone());
        self.offered_terms.push(content.offered_terms.as_ref().map(json_text));
        self.copy_hash.push(content.copy_hash.clone());
        self.disclaimer_variant.push(content.disclaimer_variant.clone());
        self.approval_market.push(attempt.market());
        self.approval_reference.push(permission.reference);
        self.approved_by.push(permission.approved_by);
        self.message.push(message.to_vec());
        self.message_sha256.push(hash(message).to_vec());
    }
}

/// The caller has locked the letters.
async fn move_to_sending(
    tx: &mut PgConnection,
    begun: &Columns,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update letters
        set state = 'sending', attempt = letters.attempt + 1, recipient = begun.recipient,
            subject = begun.subject, body_text = begun.body_text, body_html = begun.body_html,
            template_version = begun.template_version, offered_terms = begun.offered_terms::json,
            copy_hash = begun.copy_hash, disclaimer_variant = begun.disclaimer_variant,
            kind = begun.kind, locale = begun.locale, erased_at = null, sending_started_at = $12,
            changed_at = $12
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
            as begun (letter_id, kind, locale, recipient, subject, body_text, body_html,
            template_version, offered_terms, copy_hash, disclaimer_variant)
        where letters.letter_id = begun.letter_id
        ",
        &begun.letter_id,
        &begun.kind,
        &begun.locale,
        &begun.recipient,
        &begun.subject,
        &begun.body_text,
        &begun.body_html,
        &begun.template_version,
        &begun.offered_terms as &[Option<String>],
        &begun.copy_hash as &[Option<String>],
        &begun.disclaimer_variant as &[Option<String>],
        now,
    )
    .execute(tx)
    .await
    .map(drop)
}

async fn insert_attempts(
    tx: &mut PgConnection,
    begun: &Columns,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into delivery_attempts (
            letter_id, attempt, offer_id, account_id, kind, locale, message_id, recipient, subject,
            message, message_sha256, template_version, copy_hash, disclaimer_variant,
            approval_market, approval_reference, approved_by, consent_checked_at, attempted_at
        )
        select *, $18, $18
        from unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::bytea[], $11::bytea[], $12::text[],
            $13::text[], $14::text[], $15::text[], $16::text[], $17::text[])
        ",
        &begun.letter_id,
        &begun.attempt,
        &begun.offer_id,
        &begun.account_id,
        &begun.kind,
        &begun.locale,
        &begun.message_id,
        &begun.recipient,
        &begun.subject,
        &begun.message,
        &begun.message_sha256,
        &begun.template_version,
        &begun.copy_hash as &[Option<String>],
        &begun.disclaimer_variant as &[Option<String>],
        &begun.approval_market as &[Option<String>],
        &begun.approval_reference as &[Option<String>],
        &begun.approved_by as &[Option<String>],
        now,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Moves letters from `sending` to `sent` and records the results of their current attempts, each
/// with the relay's answer, in one statement. Returns the ids of those that were in `sending`.
/// Called by [`crate::letters::transition::record_all_sent`] only.
pub(in crate::letters) async fn record_all_sent(
    db: impl PgExecutor<'_>,
    answers: &[(&Letter, &str)],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    let letters: Vec<String> = answers.iter().map(|(letter, _)| letter.letter_id.clone()).collect();
    let attempts: Vec<i32> = answers.iter().map(|(letter, _)| letter.attempt).collect();
    let replies: Vec<String> = answers.iter().map(|(_, answer)| storable(answer)).collect();
    let sent = sqlx::query_scalar!(
        "
        with answer as (
            select *
            from unnest($1::text[], $2::integer[], $3::text[]) as answer (letter_id, attempt, reply)
        ),
        sending as (
            select letter_id
            from letters
            where letter_id = any($1) and state = 'sending'
            order by offer_id, letter_id
            for update
        ),
        sent as (
            update letters
            set state = 'sent', reason = null, relay_reply = answer.reply, sent_at = $5,
                changed_at = $5
            from answer join sending using (letter_id)
            where letters.letter_id = answer.letter_id
            returning letters.letter_id
        ),
        recorded as (
            insert into delivery_attempt_results (delivery_attempt_id, outcome, reply, recorded_at)
            select delivery_attempt_id, $4, reply, $5
            from answer join delivery_attempts using (letter_id, attempt)
            on conflict (delivery_attempt_id) do nothing
        )
        select letter_id from sent
        ",
        &letters,
        &attempts,
        &replies,
        AttemptOutcome::Sent.as_str(),
        now,
    )
    .fetch_all(db)
    .await?;
    Ok(sent.into_iter().collect())
}

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
