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

/// Inserts pending deliveries of offers, each with its letter; without one, the platform told the
/// merchant itself. Returns the offers that had no delivery.
pub async fn insert_all(
    db: impl PgExecutor<'_>,
    deliveries: &[(&str, Option<&str>)],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    if deliveries.is_empty() {
        return Ok(HashSet::new());
    }
    let offers: Vec<String> = deliveries.iter().map(|(offer, _)| (*offer).to_owned()).collect();
    let letters: Vec<Option<String>> =
        deliveries.iter().map(|(_, letter)| letter.map(str::to_owned)).collect();
    let inserted = sqlx::query_scalar!(
        "
        insert into deliveries (offer_id, letter_id, requested_at)
        select offer_id, letter_id, $3
        from unnest($1::text[], $2::text[]) as new (offer_id, letter_id)
        order by offer_id
        on conflict (offer_id) do nothing
        returning offer_id
        ",
        &offers,
        &letters as &[Option<String>],
        now,
    )
    .fetch_all(db)
    .await?;
    Ok(inserted.into_iter().collect())
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

/// Records that Stripe acknowledged deliveries, each with its response. The caller has locked the
/// offers.
pub async fn mark_all_delivered(
    db: impl PgExecutor<'_>,
    acknowledged: &[(&str, StripeReply<'_>)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let all = || acknowledged.iter();
    let offers: Vec<String> = all().map(|(offer, _)| (*offer).to_owned()).collect();
    let statuses: Vec<Option<i16>> =
        all().map(|(_, reply)| i16::try_from(reply.status).ok()).collect();
    let requests: Vec<Option<String>> =
        all().map(|(_, reply)| reply.request_id.map(str::to_owned)).collect();
    let bodies: Vec<Option<String>> = all().map(|(_, reply)| reply.body.map(json_text)).collect();
    let notes: Vec<Option<String>> = all().map(|(_, reply)| reply.note.map(storable)).collect();
    sqlx::query!(
        "
        update deliveries
        set state = 'delivered', delivered_at = $6, response_status = reply.status,
            response_request_id = reply.request_id, response_body = reply.body::json,
            note = reply.note
        from unnest($1::text[], $2::smallint[], $3::text[], $4::text[], $5::text[])
            as reply (offer_id, status, request_id, body, note)
        where deliveries.offer_id = reply.offer_id and state = 'pending'
        ",
        &offers,
        &statuses as &[Option<i16>],
        &requests as &[Option<String>],
        &bodies as &[Option<String>],
        &notes as &[Option<String>],
        now,
    )
    .execute(db)
    .await
    .map(drop)
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
    if offer_ids.is_empty() {
        return Ok(HashSet::new());
    }
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
