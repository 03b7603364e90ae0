//! SQL of the evidence of letters that leave at the same moment: their attempts begin, and what the
//! relay accepted, each together with the change of the letter's state that it proves. The caller
//! owns the transaction.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
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
        locked as (
            select letter_id, state
            from letters
            where letter_id = any($1)
            order by offer_id, letter_id
            for update
        )
        select coalesce(locked.state = 'waiting', false) as "is_waiting!",
            new.market is null or approval.market is not null as "is_approved!",
            approval.reference as "reference?", approval.approved_by as "approved_by?"
        from new
        left join locked using (letter_id)
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
        locked as (
            select letter_id, state
            from letters
            where letter_id = any($1)
            order by offer_id, letter_id
            for update
        ),
        sent as (
            update letters
            set state = 'sent', reason = null, relay_reply = answer.reply, sent_at = $5,
                changed_at = $5
            from answer join locked using (letter_id)
            where letters.letter_id = answer.letter_id and locked.state = 'sending'
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
