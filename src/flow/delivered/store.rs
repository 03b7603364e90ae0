//! The SQL of the deliveries. The caller owns the transaction.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use crate::database::{json_text, storable};

/// What is still to be said to Stripe.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) offer_id: String,
    pub(super) account_id: String,
    pub(super) key_number: i32,
}

/// Stripe's answer, for the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) request_id: Option<&'a str>,
    pub(super) body: Option<&'a Value>,
    /// Why the delivery is what it is, where the answer alone does not say.
    pub(super) note: Option<&'a str>,
}

/// Owes Stripe the word about an offer, once.
pub(super) async fn owe(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    letter_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into deliveries (offer_id, letter_id, requested_at)
        values ($1, $2, $3)
        on conflict (offer_id) do nothing
        ",
        offer_id,
        letter_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The delivery of an offer, while it is owed.
pub(super) async fn find_owed(
    db: impl PgExecutor<'_>,
    offer_id: &str,
) -> sqlx::Result<Option<Delivery>> {
    sqlx::query_as!(
        Delivery,
        "
        select offer_id, account_id, key_number
        from deliveries
        join financing_offers using (offer_id)
        where offer_id = $1 and state = 'pending'
        ",
        offer_id,
    )
    .fetch_optional(db)
    .await
}

/// Stripe knows.
pub(super) async fn mark_delivered(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    answer: &Answer<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update deliveries
        set state = 'delivered', delivered_at = $2, response_status = $3, response_request_id = $4,
            response_body = $5::text::json, note = $6
        where offer_id = $1 and state = 'pending'
        ",
        offer_id,
        now,
        i16::try_from(answer.status).ok(),
        answer.request_id,
        answer.body.map(json_text),
        answer.note.map(storable),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stripe answered with a failure: it is written down, and the next try has a new Idempotency-Key.
pub(super) async fn change_key(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    answer: &Answer<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update deliveries
        set key_number = key_number + 1, response_status = $2, response_request_id = $3,
            response_body = $4::text::json
        where offer_id = $1 and state = 'pending'
        ",
        offer_id,
        i16::try_from(answer.status).ok(),
        answer.request_id,
        answer.body.map(json_text),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes an acknowledgement back that Stripe itself no longer knows of. False where there is none from before this time.
pub(super) async fn reopen(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    before: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let reopened = sqlx::query!(
        "
        update deliveries
        set state = 'pending', delivered_at = null, key_number = key_number + 1
        where offer_id = $1 and state = 'delivered' and delivered_at < $2
        ",
        offer_id,
        before,
    )
    .execute(db)
    .await?;
    Ok(reopened.rows_affected() == 1)
}

/// Owes the word again that Stripe refused, under a new Idempotency-Key. False where nothing was refused.
pub(super) async fn owe_anew(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<bool> {
    let owed = sqlx::query!(
        "
        update deliveries
        set state = 'pending', key_number = key_number + 1
        where offer_id = $1 and state = 'refused'
        ",
        offer_id,
    )
    .execute(db)
    .await?;
    Ok(owed.rows_affected() == 1)
}

/// A delivery, for a person.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Shown {
    /// `pending`, `delivered` or `refused`.
    pub state: String,
    /// The HTTP status of Stripe's last answer.
    pub response_status: Option<i16>,
    /// Its `Request-Id`.
    pub response_request_id: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// Since when it is owed.
    pub requested_at: DateTime<Utc>,
    /// When Stripe acknowledged.
    pub delivered_at: Option<DateTime<Utc>>,
}

/// The delivery of an offer, where its letter was sent.
pub async fn find(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Option<Shown>> {
    sqlx::query_as!(
        Shown,
        "
        select state, response_status, response_request_id, note, requested_at, delivered_at
        from deliveries
        where offer_id = $1
        ",
        offer_id,
    )
    .fetch_optional(db)
    .await
}

/// Nobody tries any more.
pub(super) async fn mark_refused(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    why: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update deliveries
        set state = 'refused', note = $2
        where offer_id = $1 and state = 'pending'
        ",
        offer_id,
        storable(why),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The state of an offer's delivery, where one is owed: `pending`, `delivered` or `refused`.
pub async fn state_of(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("select state from deliveries where offer_id = $1", offer_id)
        .fetch_optional(db)
        .await
}
