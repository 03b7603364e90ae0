//! Offers as Stripe last told us of them, and the decision whether a merchant is to be written to.
//!
//! ```text
//! undelivered ─▶ delivered ─▶ accepted ─▶ paid_out ─▶ fully_repaid
//!       └────────────┴─▶ expired, replaced, revoked, accepted_other_offer
//!                             └─▶ rejected, canceled
//! ```
//!
//! A status never moves backwards ([`crate::timeline`]); the object's other fields follow whichever rendering Stripe made last.

mod store;
mod to_email;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::stripe::{FinancingOffer, OfferStatus};
use crate::timeline::{self, Entry};

/// What an event tells about an offer.
#[derive(Debug)]
pub struct Told<'a> {
    /// The offer, as far as we read it.
    pub offer: FinancingOffer,
    /// The whole object, as it came.
    pub object: &'a Value,
    /// `evt_…`
    pub event_id: &'a str,
    /// `capital.financing_offer.…`
    pub event_type: &'a str,
    /// When Stripe rendered the object.
    pub happened_at: DateTime<Utc>,
}

/// Takes in what an event tells. Twice is once: the offer is written by its id, the line by the event's, the letter by the
/// offer's. Opens a letter for an offer that nobody has been told of.
pub async fn take_in(
    tx: &mut PgConnection,
    told: &Told<'_>,
    message_id_domain: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let offer = &told.offer;
    let before = match store::write(tx, told, now).await? {
        store::Written::New => None,
        store::Written::Known => timeline::move_status(&mut *tx, offer.id.as_str(), &offer.status).await?,
    };
    let entry = Entry {
        offer_id: Some(offer.id.as_str()),
        account_id: Some(offer.account.as_str()),
        event_id: Some(told.event_id),
        what: told.event_type,
        status_before: before.as_deref(),
        status_after: Some(offer.status.as_str()),
        note: None,
        happened_at: told.happened_at,
    };
    timeline::add(&mut *tx, &entry, now).await?;
    if announces(told) && store::is_undelivered(&mut *tx, offer.id.as_str()).await? {
        to_email::hand_over(tx, offer, message_id_domain, now).await?;
    }
    Ok(())
}

/// Whether the event says that there is a new offer that the platform must deliver. A replacement usually arrives already
/// delivered, by Stripe (<https://docs.stripe.com/capital/replacements>).
fn announces(told: &Told<'_>) -> bool {
    let kind = told.event_type.trim_start_matches("capital.financing_offer.");
    matches!(kind, "created" | "replacement_created") && told.offer.status == OfferStatus::Undelivered
}
