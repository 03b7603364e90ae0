//! Financing offers as Stripe last described them: the row, its status and its timeline.
//! [`crate::flow::offer`], a stage, applies events to them.
//!
//! [`transition`] is the table of status changes; [`store`] has the queries, [`sets`] those on many
//! offers at once; [`stale`] finds offers whose status is outdated; [`timeline`] records what
//! happened to an offer.

mod account_offer;
pub mod look_up;
pub mod sets;
pub mod stale;
pub mod store;
pub mod timeline;
pub mod transition;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::stripe::FinancingOffer;
use crate::telemetry::traces;
use look_up::LookUps;

/// The kind of the jobs that fetch an offer from Stripe.
pub const REFRESH_JOB: &str = "refresh_offer";

/// Queues a job that fetches an offer from Stripe, in the caller's transaction. There is one job
/// per offer and cause; a finished one is queued again.
pub async fn request_refresh(
    tx: &mut PgConnection,
    offer_id: &str,
    cause: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut look_ups = LookUps::default();
    look_ups.refresh(offer_id, cause, traces::traceparent());
    look_ups.queue(tx, now).await
}

/// An offer received from Stripe.
#[derive(Clone, Copy, Debug)]
pub struct ObservedOffer<'a> {
    pub offer: &'a FinancingOffer,
    /// The complete JSON object, which is stored with it.
    pub object: &'a str,
    pub source: Source<'a>,
    /// When Stripe rendered the object, by Stripe's clock.
    pub as_of: DateTime<Utc>,
}

/// How an offer was received.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    Event {
        /// `evt_…`
        id: &'a str,
        /// `capital.financing_offer.…`
        event_type: &'a str,
        /// The trace of the event.
        traceparent: Option<&'a str>,
    },
    /// From a list. A page may be outdated, so it is applied like an event.
    Listed,
    /// Fetched by its id, and no other observation was stored meanwhile.
    Asked,
}
