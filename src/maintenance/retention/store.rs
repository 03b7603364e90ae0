//! The SQL of erasing. The caller owns the transaction.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// Takes words, recipients and the relay's answer, which may repeat an address, out of letters that are over since before a moment, some
/// at a time. Says of how many.
pub(super) async fn erase_letters(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    most: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let erased = sqlx::query!(
        "
        update letters
        set recipient = null, subject = null, body_text = null, body_html = null,
            relay_reply = null, erased_at = $3
        where letter_id in (
            select letter_id
            from letters
            where erased_at is null and recipient is not null and changed_at < $1
                -- One that waits, is held or is in doubt may be sent yet, word for word.
                and state in ('sent', 'bounced', 'rejected', 'withdrawn', 'suppressed')
            order by changed_at
            limit $2
            for update skip locked
        )
        ",
        before,
        most,
        now,
    )
    .execute(db)
    .await?;
    Ok(erased.rows_affected())
}

/// Forgets addresses that the platform named before a moment, some at a time, of accounts that were written to neither since then nor are
/// about to be: one that is in use stays. Says of how many.
pub(super) async fn erase_contacts(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<u64> {
    let erased = sqlx::query!(
        "
        delete from contact_overrides
        where account_id in (
            select account_id
            from contact_overrides as named
            where updated_at < $1
                and not exists (
                    select from letters
                    where letters.account_id = named.account_id
                        and (changed_at >= $1 or state in ('waiting', 'sending', 'uncertain', 'held'))
                )
            order by updated_at
            limit $2
            for update skip locked
        )
        ",
        before,
        most,
    )
    .execute(db)
    .await?;
    Ok(erased.rows_affected())
}

/// Takes the same out of all letters of an account that are over.
pub(super) async fn erase_letters_of(
    db: impl PgExecutor<'_>,
    account_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let erased = sqlx::query!(
        "
        update letters
        set recipient = null, subject = null, body_text = null, body_html = null,
            relay_reply = null, erased_at = $2
        where account_id = $1 and erased_at is null
            and (recipient is not null or relay_reply is not null)
            and state in ('sent', 'bounced', 'rejected', 'withdrawn', 'suppressed')
        ",
        account_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(erased.rows_affected())
}

/// How many letters of an account still have words: they are being handed over, or may be sent yet.
pub(super) async fn count_left_of(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<u64> {
    let left = sqlx::query_scalar!(
        r#"select count(*) as "left!" from letters where account_id = $1 and erased_at is null and recipient is not null"#,
        account_id,
    )
    .fetch_one(db)
    .await?;
    Ok(left.unsigned_abs())
}

/// Ends the visits to the Capital section of an account: the cookies that carry them open nothing any more. Says how many there were.
pub(super) async fn end_visits_of(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<u64> {
    let ended = sqlx::query!("delete from portal_sessions where account_id = $1", account_id)
        .execute(db)
        .await?;
    Ok(ended.rows_affected())
}

/// Takes bytes, recipients and subjects out of the proofs of an account. The hash of an address stays, so that who names one can be
/// told whether a letter went there. Needs the right to change the proofs, which the service's own role has not.
pub(super) async fn erase_proofs_of(tx: &mut PgConnection, account_id: &str) -> sqlx::Result<u64> {
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

/// Whether any table has this account.
pub(super) async fn is_known(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (select from financing_offers where account_id = $1)
            or exists (select from letters where account_id = $1)
            or exists (select from delivery_attempts where account_id = $1)
            or exists (select from inbox_events where account_id = $1)
            or exists (select from contact_overrides where account_id = $1)
            or exists (select from opt_outs where account_id = $1)
            or exists (select from portal_sessions where account_id = $1)
            or exists (select from account_locales where account_id = $1)
            or exists (select from financing_transactions where account_id = $1)
            or exists (select from financing_summaries where account_id = $1)
            or exists (select from transaction_backfills where account_id = $1)
        as "known!"
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}

/// How many messages to an account the proof holds.
pub(super) async fn messages_kept(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<u64> {
    let kept = sqlx::query_scalar!(
        r#"
        select count(*) as "kept!"
        from delivery_attempts
        where account_id = $1 and message is not null
        "#,
        account_id,
    )
    .fetch_one(db)
    .await?;
    Ok(kept.unsigned_abs())
}
