//! What Stripe was told about offers: the rows of `deliveries`, at most one per offer.
//! [`crate::flow::delivered`] makes the calls, and owns the reports of other channels.
//!
//! ```text
//! pending ─▶ delivered     Stripe acknowledged, or shows the offer as delivered or further along
//!    └─────▶ refused       Stripe refused and the offer is not delivered: an operator must act
//! ```
//!
//! The caller owns the transaction.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use crate::database::{Dismissed, json_text, storable};

/// A delivery that Stripe has not acknowledged yet.
#[derive(Clone, Debug)]
pub struct PendingDelivery {
    pub offer_id: String,
    /// Part of the Idempotency-Key.
    pub key_number: i32,
    /// When the letter was sent.
    pub requested_at: DateTime<Utc>,
}

/// Stripe's response, as recorded.
#[derive(Clone, Copy, Debug)]
pub struct StripeReply<'a> {
    pub status: u16,
    pub request_id: Option<&'a str>,
    pub body: Option<&'a Value>,
    /// Explains the state where the response alone does not.
    pub note: Option<&'a str>,
}

/// Inserts a pending delivery. False if the offer already has a delivery. Without a letter, the
/// platform told the merchant itself.
pub async fn insert(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    letter_id: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
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
    Ok(inserted.rows_affected() == 1)
}

pub async fn find_pending(
    db: impl PgExecutor<'_>,
    offer_id: &str,
) -> sqlx::Result<Option<PendingDelivery>> {
    sqlx::query_as!(
        PendingDelivery,
        "
        select offer_id, key_number, requested_at
        from deliveries
        where offer_id = $1 and state = 'pending'
        ",
        offer_id,
    )
    .fetch_optional(db)
    .await
}

/// Records that Stripe acknowledged the delivery.
pub async fn mark_delivered(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    answer: &StripeReply<'_>,
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

/// Records a failure response. The next attempt uses a new Idempotency-Key.
pub async fn change_key(
    db: impl PgExecutor<'_>,
    offer_id: &str,
    answer: &StripeReply<'_>,
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

/// Returns an acknowledged delivery to `pending`. `false` if there is none acknowledged before
/// `before`.
pub async fn reopen_delivered(
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

/// Returns a refused delivery to `pending` under a new Idempotency-Key. `false` if there is none.
pub async fn reopen_refused(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<bool> {
    let reopened = sqlx::query!(
        "
        update deliveries
        set state = 'pending', key_number = key_number + 1
        where offer_id = $1 and state = 'refused'
        ",
        offer_id,
    )
    .execute(db)
    .await?;
    Ok(reopened.rows_affected() == 1)
}

/// A delivery as the API and the command line show it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct DeliverySummary {
    /// `pending`, `delivered` or `refused`.
    pub state: String,
    /// Of Stripe's last response.
    pub response_status: Option<i16>,
    /// The `Request-Id` of Stripe's last response.
    pub response_request_id: Option<String>,
    pub note: Option<String>,
    pub requested_at: DateTime<Utc>,
    /// When Stripe acknowledged.
    pub delivered_at: Option<DateTime<Utc>>,
}

/// The delivery of an offer; `None` until its letter was sent or the platform reported one.
pub async fn find(
    db: impl PgExecutor<'_>,
    offer_id: &str,
) -> sqlx::Result<Option<DeliverySummary>> {
    sqlx::query_as!(
        DeliverySummary,
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

/// Those of the offers whose delivery Stripe acknowledged.
pub async fn delivered_among(
    db: impl PgExecutor<'_>,
    offer_ids: &[String],
) -> sqlx::Result<HashSet<String>> {
    let delivered = sqlx::query_scalar!(
        "select offer_id from deliveries where offer_id = any($1) and state = 'delivered'",
        offer_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(delivered.into_iter().collect())
}

/// The offers that this request (`Request-Id`) reported to Stripe.
pub async fn offers_of_request(
    db: impl PgExecutor<'_>,
    request_id: &str,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select offer_id from deliveries where response_request_id = $1 order by offer_id",
        request_id,
    )
    .fetch_all(db)
    .await
}

/// Records that the job was discarded and why.
pub async fn mark_refused(db: impl PgExecutor<'_>, offer_id: &str, why: &str) -> sqlx::Result<()> {
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

/// A delivery that Stripe refused.
#[derive(Clone, Debug)]
pub struct RefusedDelivery {
    pub offer_id: String,
    pub note: Option<String>,
    /// When the letter was sent.
    pub requested_at: DateTime<Utc>,
    /// Refused deliveries in total.
    pub total: i64,
}

/// The oldest refused deliveries.
pub async fn list_refused(
    db: impl PgExecutor<'_>,
    dismissed: &Dismissed,
    limit: i64,
) -> sqlx::Result<Vec<RefusedDelivery>> {
    sqlx::query_as!(
        RefusedDelivery,
        r#"
        select offer_id, note, requested_at, count(*) over () as "total!"
        from deliveries
        where state = 'refused' and not exists (
            select from unnest($1::text[], $2::timestamptz[]) as dismissed (id, at)
            where dismissed.id = offer_id and dismissed.at >= requested_at
        )
        order by requested_at, offer_id
        limit $3
        "#,
        &dismissed.ids,
        &dismissed.at,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Deliveries that Stripe acknowledged in each hour since `since`, in order. Hours without one are
/// missing.
pub async fn delivered_per_hour(
    db: impl PgExecutor<'_>,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<(DateTime<Utc>, i64)>> {
    let hours = sqlx::query!(
        r#"
        select date_bin('1 hour', delivered_at, $1) as "hour!", count(*) as "deliveries!"
        from deliveries
        where delivered_at >= $1
        group by 1
        order by 1
        "#,
        since,
    )
    .fetch_all(db)
    .await?;
    Ok(hours.into_iter().map(|row| (row.hour, row.deliveries)).collect())
}
