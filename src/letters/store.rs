//! SQL of the `letters` table. The caller owns the transaction.
//!
//! Every change of state names the state that it starts from, so that a letter that another
//! transaction has changed meanwhile is left alone.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

use super::reason;
use crate::database::storable;

pub use super::state::State;

/// A letter with everything that sending needs.
#[derive(Clone, Debug)]
pub struct Letter {
    pub letter_id: String,
    pub offer_id: String,
    pub account_id: String,
    /// The position in the offer's sequence; 0 is the first letter.
    pub sequence: i16,
    /// 0 for the letter of the schedule, then that of the operator's resend.
    pub resend_number: i16,
    pub kind: String,
    pub state: State,
    pub reason: Option<String>,
    pub message_id: String,
    pub attempt: i32,
    /// Attempts with unknown outcome.
    pub uncertain_attempts: i32,
    pub recipient: Option<String>,
    pub locale: Option<String>,
    pub subject: Option<String>,
    pub body_text: Option<String>,
    pub body_html: Option<String>,
    pub template_version: Option<String>,
    pub offered_terms: Option<Value>,
    pub copy_hash: Option<String>,
    pub disclaimer_variant: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// The content of a letter and its recipient.
#[derive(Clone, Debug)]
pub struct Content {
    /// As in `letters.kind`.
    pub kind: String,
    /// As in `letters.locale`.
    pub locale: String,
    /// The bare address.
    pub recipient: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub template_version: String,
    /// Stripe's JSON at the time of writing.
    pub offered_terms: Option<Value>,
    /// Identifies the wording for approvals.
    pub copy_hash: Option<String>,
    pub disclaimer_variant: Option<String>,
    /// Two letters, as Stripe names markets; `None` if unknown.
    pub market: Option<String>,
    /// Whether the market's approval is required. Test data needs none.
    pub needs_approval: bool,
}

/// Selects letters by a condition.
macro_rules! select_letters {
    ($condition:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Letter,
            r#"
            select letter_id, offer_id, account_id, sequence, resend_number, kind,
                state as "state: State", reason, message_id, attempt, uncertain_attempts,
                recipient, locale, subject, body_text, body_html, template_version, offered_terms,
                copy_hash,
                disclaimer_variant, created_at
            from letters
            where "#
                + $condition,
            $($argument),+
        )
    };
}

/// Inserts a resend of a letter, under the next number. The caller holds the offer's lock.
pub(super) async fn insert_resend(
    db: impl PgExecutor<'_>,
    letter_id: &str,
    message_id: &str,
    of: &Letter,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into letters (letter_id, offer_id, account_id, sequence, resend_number, kind,
            message_id, created_at, changed_at)
        select $1, offer_id, account_id, sequence, max(resend_number) + 1, $2, $3, $4, $4
        from letters
        where offer_id = $5 and sequence = $6
        group by offer_id, account_id, sequence
        ",
        letter_id,
        of.kind,
        message_id,
        now,
        of.offer_id,
        of.sequence,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn find(db: impl PgExecutor<'_>, letter_id: &str) -> sqlx::Result<Option<Letter>> {
    select_letters!("letter_id = $1", letter_id).fetch_optional(db).await
}

pub(super) async fn lock(db: impl PgExecutor<'_>, letter_id: &str) -> sqlx::Result<Option<Letter>> {
    select_letters!("letter_id = $1 for update", letter_id).fetch_optional(db).await
}

#[derive(Clone, Copy, Debug)]
pub struct Transition<'a> {
    pub from: State,
    pub to: State,
    /// As in `letters.reason`.
    pub reason: Option<&'a str>,
    /// What the relay answered, or why there is no answer. `None` keeps the last one.
    pub relay_reply: Option<&'a str>,
    /// Explains the change in the timeline.
    pub note: Option<&'a str>,
}

impl Transition<'_> {
    /// Without a reason, a reply or a note.
    pub fn between(from: State, to: State) -> Self {
        Self { from, to, reason: None, relay_reply: None, note: None }
    }
}

/// Changes a letter's state. `false` if it is not in `to.from`.
pub async fn change(
    db: impl PgExecutor<'_>,
    letter_id: &str,
    to: &Transition<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "
        update letters
        set state = $3, reason = $4, relay_reply = coalesce($5, relay_reply),
            uncertain_attempts =
                uncertain_attempts + (case when $3 = 'uncertain' then 1 else 0 end),
            sent_at = case $3 when 'sent' then $6 when 'bounced' then sent_at end, changed_at = $6
        where letter_id = $1 and state = $2
        ",
        letter_id,
        to.from.as_str(),
        to.to.as_str(),
        to.reason,
        to.relay_reply.map(storable),
        now,
    )
    .execute(db)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// The unsent letters of offers: waiting, or held without having been sent.
pub async fn find_unsent(
    db: impl PgExecutor<'_>,
    offer_ids: &[String],
) -> sqlx::Result<Vec<Letter>> {
    select_letters!(
        "
        offer_id = any($1)
            and (state = 'waiting' or (state = 'held' and uncertain_attempts = 0))
        order by offer_id, letter_id
        ",
        offer_ids,
    )
    .fetch_all(db)
    .await
}

/// The waiting letters of an account.
pub async fn find_waiting_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Vec<Letter>> {
    select_letters!(
        "
        account_id = $1 and state = 'waiting'
        -- The inbox reader locks offers in this order too.
        order by offer_id, letter_id
        ",
        account_id,
    )
    .fetch_all(db)
    .await
}

/// Locks the waiting letters of accounts, before each account's are changed: in the order in which
/// other transactions lock several letters.
pub async fn lock_waiting_of_accounts(
    db: impl PgExecutor<'_>,
    account_ids: &[String],
) -> sqlx::Result<()> {
    sqlx::query_scalar!(
        "
        select letter_id
        from letters
        where account_id = any($1) and state = 'waiting'
        order by offer_id, letter_id
        for update
        ",
        account_ids,
    )
    .fetch_all(db)
    .await
    .map(drop)
}

/// The waiting and held letters of an account.
pub async fn find_unsent_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Vec<Letter>> {
    select_letters!(
        "account_id = $1 and state in ('waiting', 'held') order by offer_id, letter_id",
        account_id
    )
    .fetch_all(db)
    .await
}

/// The waiting and held letters of an account, locked.
pub async fn lock_unsent_of_account(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Vec<Letter>> {
    select_letters!(
        "
        account_id = $1 and state in ('waiting', 'held')
        order by offer_id, letter_id
        for update
        ",
        account_id,
    )
    .fetch_all(db)
    .await
}

/// Letters held for one of these reasons, ordered by offer and id: up to `limit` after `after`.
pub async fn find_held_for(
    db: impl PgExecutor<'_>,
    reasons: &[&str],
    after: &(String, String),
    limit: i64,
) -> sqlx::Result<Vec<Letter>> {
    let reasons: Vec<String> = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    select_letters!(
        "
        state = 'held' and reason = any($1) and (offer_id, letter_id) > ($2, $3)
        order by offer_id, letter_id
        limit $4
        ",
        &reasons,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The state of the offer's first letter; `None` if it has none.
pub async fn first_letter_state(
    db: impl PgExecutor<'_>,
    offer_id: &str,
) -> sqlx::Result<Option<State>> {
    sqlx::query_scalar!(
        r#"
        select state as "state: State"
        from letters
        where offer_id = $1 and sequence = 0 and resend_number = 0
        "#,
        offer_id,
    )
    .fetch_optional(db)
    .await
}

/// A letter as the API and the command line show it, without the recipient's address.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LetterSummary {
    /// `letter_…`
    pub letter_id: String,
    /// `offer`, `reminder_7d`, …
    pub kind: String,
    /// 0 for the letter of the schedule, then that of the operator's resend.
    pub resend_number: i16,
    /// As in the diagram of the module above.
    pub state: String,
    pub reason: Option<String>,
    /// The number of attempts.
    pub attempt: i32,
    /// Attempts with unknown outcome.
    pub uncertain_attempts: i32,
    /// Without angle brackets.
    pub message_id: String,
    /// `None` until it was written.
    pub subject: Option<String>,
    /// The relay's last reply.
    pub relay_reply: Option<String>,
    /// When the relay accepted it.
    pub sent_at: Option<DateTime<Utc>>,
    pub changed_at: DateTime<Utc>,
}

pub async fn of_offer(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Vec<LetterSummary>> {
    sqlx::query_as!(
        LetterSummary,
        "
        select letter_id, kind, resend_number, state, reason, attempt, uncertain_attempts,
            message_id, subject, relay_reply, sent_at, changed_at
        from letters
        where offer_id = $1
        order by letter_id
        ",
        offer_id,
    )
    .fetch_all(db)
    .await
}

pub async fn lock_of_offer(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Vec<Letter>> {
    select_letters!(
        "
        offer_id = $1
        order by letter_id
        for update
        ",
        offer_id,
    )
    .fetch_all(db)
    .await
}

pub async fn count_in_state(db: impl PgExecutor<'_>, state: State) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from letters where state = $1"#,
        state.as_str()
    )
    .fetch_one(db)
    .await
}

/// Counts letters that the relay accepted at or after `since`.
pub async fn sent_since(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from letters
        -- `changed_at` is never before `sent_at`, so this condition lets the index be used.
        where state in ('sent', 'bounced') and changed_at >= $1 and sent_at >= $1
        "#,
        since,
    )
    .fetch_one(db)
    .await
}

/// The state of an offer's first letter.
#[derive(Clone, Debug)]
pub struct FirstLetter {
    pub offer_id: String,
    pub state: String,
    pub reason: Option<String>,
    pub sent_at: Option<DateTime<Utc>>,
}

/// The first letters about these offers, in no particular order. Offers without a letter are
/// missing from the result.
pub async fn first_of_offers(
    db: impl PgExecutor<'_>,
    offer_ids: &[String],
) -> sqlx::Result<Vec<FirstLetter>> {
    sqlx::query_as!(
        FirstLetter,
        "
        select offer_id, state, reason, sent_at
        from letters
        where offer_id = any($1) and sequence = 0 and resend_number = 0
        ",
        offer_ids,
    )
    .fetch_all(db)
    .await
}

/// Finds and locks the letter that an outsider refers to, so that reports about one letter are
/// applied one after the other.
pub async fn lock_referenced(
    tx: &mut PgConnection,
    letter_ids: &[String],
    message_ids: &[String],
) -> sqlx::Result<Option<Letter>> {
    let by_id = select_letters!("letter_id = any($1) limit 1 for update", letter_ids);
    // Our own id is more reliable than the Message-ID, which a relay may replace.
    if let Some(letter) = by_id.fetch_optional(&mut *tx).await? {
        return Ok(Some(letter));
    }
    select_letters!("message_id = any($1) limit 1 for update", message_ids).fetch_optional(tx).await
}

/// Records the suppressed address that a letter is held for, was rejected for or bounced from.
pub async fn link_suppressed_address(
    db: impl PgExecutor<'_>,
    letter_id: &str,
    address_sha256: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "update letters set suppressed_address_sha256 = $2 where letter_id = $1",
        letter_id,
        address_sha256,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The letters held because this address is suppressed.
pub async fn find_held_for_address(
    db: impl PgExecutor<'_>,
    address_sha256: &[u8],
) -> sqlx::Result<Vec<Letter>> {
    select_letters!(
        "
        suppressed_address_sha256 = $1 and state = 'held' and reason = $2
        order by offer_id, letter_id
        ",
        address_sha256,
        reason::ADDRESS_BOUNCED,
    )
    .fetch_all(db)
    .await
}

/// Counts the letters held for each of these addresses. Addresses without one are missing.
pub async fn count_held_for_addresses(
    db: impl PgExecutor<'_>,
    addresses: &[Vec<u8>],
) -> sqlx::Result<HashMap<Vec<u8>, i64>> {
    let counts = sqlx::query!(
        r#"
        select suppressed_address_sha256 as "address_sha256!", count(*) as "held!"
        from letters
        where suppressed_address_sha256 = any($1) and state = 'held' and reason = $2
        group by suppressed_address_sha256
        "#,
        addresses,
        reason::ADDRESS_BOUNCED,
    )
    .fetch_all(db)
    .await?;
    Ok(counts.into_iter().map(|row| (row.address_sha256, row.held)).collect())
}

/// The offers whose letters to this address were rejected or bounced.
pub async fn offers_stopped_by_address(
    db: impl PgExecutor<'_>,
    address_sha256: &[u8],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "
        select offer_id
        from letters
        where suppressed_address_sha256 = $1
            and (state = 'bounced' or (state = 'rejected' and reason = $2))
        order by offer_id
        ",
        address_sha256,
        reason::ADDRESS_REFUSED,
    )
    .fetch_all(db)
    .await
}

/// The addresses that an offer's letters are held for, were rejected for or bounced from, or that
/// they are about to be sent to again.
pub async fn suppressed_addresses_of_offer(
    db: impl PgExecutor<'_>,
    offer_id: &str,
) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar!(
        r#"
        select distinct suppressed_address_sha256 as "address_sha256!"
        from letters
        where offer_id = $1 and suppressed_address_sha256 is not null
            and state in ('held', 'rejected', 'bounced', 'waiting')
        "#,
        offer_id,
    )
    .fetch_all(db)
    .await
}

/// The offer of each of these letters, by the letter's id.
pub async fn offers_of(
    db: impl PgExecutor<'_>,
    letter_ids: &[String],
) -> sqlx::Result<HashMap<String, String>> {
    let offers = sqlx::query!(
        "select letter_id, offer_id from letters where letter_id = any($1)",
        letter_ids
    )
    .fetch_all(db)
    .await?;
    Ok(offers.into_iter().map(|row| (row.letter_id, row.offer_id)).collect())
}

/// Letters that the relay accepted in each hour since `since`, in order. Hours without one are
/// missing.
pub async fn sent_per_hour(
    db: impl PgExecutor<'_>,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<(DateTime<Utc>, i64)>> {
    let hours = sqlx::query!(
        r#"
        select date_bin('1 hour', sent_at, $1) as "hour!", count(*) as "letters!"
        from letters
        where sent_at >= $1
        group by 1
        order by 1
        "#,
        since,
    )
    .fetch_all(db)
    .await?;
    Ok(hours.into_iter().map(|row| (row.hour, row.letters)).collect())
}
