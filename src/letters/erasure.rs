//! Erases the personal data in letters: the recipient, the content, and the relay's reply, which
//! may repeat an address. A letter keeps its ids, states and times; the evidence of its attempts
//! is erased separately ([`super::evidence`]).

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::store::{State, find_unsent_of_account};
use super::{reason, transition};

/// Withdraws all unsent letters of an account, whatever the state of its offers, in the caller's
/// transaction.
pub async fn withdraw_for_account(
    tx: &mut PgConnection,
    account_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for letter in find_unsent_of_account(&mut *tx, account_id).await? {
        transition::cancel(&mut *tx, &letter, State::Withdrawn, reason::ERASED, now).await?;
    }
    Ok(())
}

/// Erases the recipient, the content and the relay's reply (which may repeat an address) of letters
/// that reached a final state before `before`, at most `limit` of them. Returns their number.
pub async fn erase_expired(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    limit: i64,
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
                -- A waiting, held or uncertain letter may still be sent with this content.
                and state in ('sent', 'bounced', 'rejected', 'withdrawn', 'suppressed')
            order by changed_at
            limit $2
            for update skip locked
        )
        ",
        before,
        limit,
        now,
    )
    .execute(db)
    .await?;
    Ok(erased.rows_affected())
}

/// As [`erase_expired`], for all letters of an account in a final state, whatever their age.
pub async fn erase_account(
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

/// Counts the letters of an account that still hold personal data: they are being sent or may
/// still be sent.
pub async fn count_unerased(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<u64> {
    let unerased = sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from letters
        where account_id = $1 and erased_at is null and recipient is not null
        "#,
        account_id,
    )
    .fetch_one(db)
    .await?;
    Ok(unerased.unsigned_abs())
}

/// Of these accounts, those with a letter that changed since `since` or may still be sent.
pub async fn accounts_in_use(
    db: impl PgExecutor<'_>,
    account_ids: &[String],
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "
        select distinct account_id
        from letters
        where account_id = any($1)
            and (changed_at >= $2 or state in ('waiting', 'sending', 'uncertain', 'held'))
        ",
        account_ids,
        since,
    )
    .fetch_all(db)
    .await
}

/// Whether the account has a letter, erased or not.
pub async fn knows_account(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from letters where account_id = $1) as "exists!""#,
        account_id,
    )
    .fetch_one(db)
    .await
}
