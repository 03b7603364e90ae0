//! Tells Stripe that the merchant received the offer
//! (<https://docs.stripe.com/capital/api-integration>). The platform affirms delivery with this
//! call, so it is never made before the relay has accepted the letter, or before the platform
//! reported that it told the merchant itself ([`report()`]).
//!
//! The rows and their states are in [`crate::letters::deliveries`]; this module makes the calls.

mod mark;
mod metrics;
mod record;
mod report;
mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::letters::deliveries;
use crate::queue::{self, NewJob};
use crate::stripe::OfferStatus;

pub use mark::MarkDelivered;
pub use metrics::DeliveryMetrics;
pub use record::MarkCommits;
pub use report::{DeliveryReport, Reported, report};
pub use store::{
    ReportRange, StoredReport, erase_references, export_reports, reports_of_account, stream_reports,
};

pub(crate) const JOB: &str = "mark_delivered";

/// An offer whose letter was sent.
#[derive(Clone, Debug)]
pub struct SentOffer<'a> {
    pub offer_id: &'a str,
    pub letter_id: &'a str,
    /// The trace of the letter.
    pub traceparent: Option<&'a str>,
}

/// Records that Stripe must be told about offers and queues the jobs, in the transaction of the
/// worker that sent their letters. After the commit the worker notifies its own process of this
/// kind of job. Does nothing for an offer that was requested before.
pub async fn request(
    tx: &mut PgConnection,
    sent: &[SentOffer<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let new: Vec<_> = sent.iter().map(|sent| (sent.offer_id, Some(sent.letter_id))).collect();
    let requested = deliveries::insert_all(&mut *tx, &new, now).await?;
    // The job of any other, if it exists, was queued with it and may have been done and left.
    let jobs = sent.iter().filter(|sent| requested.contains(sent.offer_id)).map(|sent| NewJob {
        traceparent: sent.traceparent.map(str::to_owned),
        ..NewJob::new(JOB, sent.offer_id, now)
    });
    queue::enqueue_all_here(tx, &jobs.collect::<Vec<_>>()).await.map(drop)
}

/// As [`request`], for an offer that the platform told the merchant about itself, from any process.
async fn request_without_letter(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if !deliveries::insert_all(&mut *tx, &[(offer_id, None)], now).await?.is_empty() {
        queue::enqueue(tx, JOB, offer_id, now).await?;
    }
    Ok(())
}

/// Repeats an acknowledged delivery under a new Idempotency-Key, for an offer that Stripe still
/// lists as undelivered. Deliveries acknowledged at or after `before` are left alone.
pub async fn request_again(
    tx: &mut PgConnection,
    offer_id: &str,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if deliveries::reopen_delivered(&mut *tx, offer_id, before).await? {
        tracing::warn!(
            offer.id = offer_id,
            "Stripe still lists a delivered offer as undelivered: reporting it again"
        );
        queue::requeue(tx, &NewJob::new(JOB, offer_id, now)).await?;
    }
    Ok(())
}

/// Requeues the discarded job of an offer that Stripe still lists as undelivered, in the caller's
/// transaction. At most once an hour.
pub async fn retry_given_up(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if queue::requeue_dead(&mut *tx, JOB, offer_id, now).await? {
        deliveries::reopen_refused(&mut *tx, offer_id).await?;
        tracing::warn!(offer.id = offer_id, "reconciliation requeued a discarded delivery report");
    }
    Ok(())
}

/// Retries a delivery that Stripe refused, in the caller's transaction. Returns `false` if none was
/// refused.
pub async fn retry(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let retried = deliveries::reopen_refused(&mut *tx, offer_id).await?;
    if retried {
        queue::requeue(tx, &NewJob::new(JOB, offer_id, now)).await?;
    }
    Ok(retried)
}

/// Whether an offer with this status has been delivered. An expired or replaced offer may not have
/// been.
fn was_delivered(status: &OfferStatus) -> bool {
    match status {
        OfferStatus::Delivered
        | OfferStatus::Accepted
        | OfferStatus::PaidOut
        | OfferStatus::FullyRepaid
        | OfferStatus::Completed
        | OfferStatus::Canceled
        | OfferStatus::Rejected => true,
        OfferStatus::Undelivered
        | OfferStatus::Expired
        | OfferStatus::Replaced
        | OfferStatus::Revoked
        | OfferStatus::AcceptedOtherOffer
        | OfferStatus::Other(_) => false,
    }
}
