//! Financing offers as Stripe last rendered them: the row, its status and its timeline.
//!
//! [`transition`] is the one table of status changes; [`store`] has the SQL; [`timeline`] records
//! what happened to an offer. The stage that reads events about offers is [`crate::flow::offer`].

pub mod store;
pub mod timeline;
pub mod transition;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::queue::{self, Queued};
use crate::stripe::FinancingOffer;

/// The kind of the jobs that ask Stripe about an offer.
pub const REFRESH_JOB: &str = "refresh_offer";

/// Queues a job that asks Stripe how an offer stands, in the caller's transaction: one for each
/// offer and occasion, queued anew where the one before is over.
pub async fn request_refresh(
    tx: &mut PgConnection,
    offer_id: &str,
    occasion: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let subject = format!("{offer_id}/{occasion}");
    if queue::enqueue(&mut *tx, REFRESH_JOB, &subject, now).await? == Queued::Duplicate {
        queue::requeue(tx, REFRESH_JOB, &subject, now).await?;
    }
    Ok(())
}

/// What Stripe tells about an offer.
#[derive(Debug)]
pub struct Observation<'a> {
    /// The offer, as far as we read it.
    pub offer: FinancingOffer,
    /// The whole object, as it came.
    pub object: &'a Value,
    /// How we came to hear of it.
    pub source: Source<'a>,
    /// When Stripe rendered the object.
    pub as_of: DateTime<Utc>,
}

/// How we came to hear of an offer.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// By an event.
    Event {
        /// `evt_…`
        id: &'a str,
        /// `capital.financing_offer.…`
        event_type: &'a str,
    },
    /// Stripe lists it: a page can be a moment old, so it is read as an event is.
    Listed,
    /// We asked for this offer, and nothing was written about it since.
    Asked,
}
