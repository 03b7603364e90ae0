//! Deliveries by a channel of the platform: it showed the offer in its dashboard or told the
//! merchant in another way, and reports that. No letter is needed then.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{store, was_delivered};
use crate::letters::reason::TOLD_ELSEWHERE;
use crate::letters::store::{State, find_unsent};
use crate::letters::transition;
use crate::offers;
use crate::offers::timeline::{self, Entry};
use crate::stripe::{AccountId, OfferId, OfferStatus};

/// What the platform reports.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryReport<'a> {
    pub offer: &'a OfferId,
    pub account: &'a AccountId,
    /// The platform's name of the channel.
    pub channel: &'a str,
    /// When the merchant was told.
    pub told_at: DateTime<Utc>,
    /// The platform's own reference.
    pub reference: Option<&'a str>,
    /// The id of the API key, or `portal`.
    pub reported_by: &'a str,
}

/// What a report led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// Stripe is told, or was told before; unsent letters are withdrawn.
    Accepted,
    /// The offer is unknown, or belongs to another account.
    UnknownOffer,
    /// The offer ended before it was delivered.
    OfferEnded,
}

/// Records a report as evidence, queues the call to Stripe unless the offer is delivered, and
/// withdraws the letters that were not sent, in the caller's transaction. The same report again
/// changes nothing. A letter that is being handed to the relay is not stopped.
pub async fn report(
    tx: &mut PgConnection,
    report: &DeliveryReport<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Reported> {
    let (offer_id, account_id) = (report.offer.as_str(), report.account.as_str());
    if !offers::store::belongs_to(&mut *tx, account_id, offer_id).await? {
        return Ok(Reported::UnknownOffer);
    }
    // The offer's row is locked before its letters and its delivery, as by every other writer.
    let Some(status) = offers::store::lock_status(&mut *tx, offer_id).await? else {
        return Ok(Reported::UnknownOffer);
    };
    let is_open = matches!(status, OfferStatus::Undelivered | OfferStatus::Other(_));
    if !is_open && !was_delivered(&status) {
        return Ok(Reported::OfferEnded);
    }
    if store::add_report(&mut *tx, report, now).await? {
        let note = format!("by {}", report.channel);
        let entry = Entry::ours(offer_id, account_id, "offer.told", now).with_note(&note);
        timeline::add(&mut *tx, &entry, now).await?;
    }
    for letter in find_unsent(&mut *tx, &[offer_id.to_owned()]).await? {
        if letter.sequence == 0 {
            transition::cancel(&mut *tx, &letter, State::Withdrawn, TOLD_ELSEWHERE, now).await?;
        }
    }
    if is_open {
        super::request_without_letter(tx, offer_id, now).await?;
    }
    Ok(Reported::Accepted)
}
