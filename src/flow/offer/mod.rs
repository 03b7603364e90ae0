//! The stage that applies observations of offers and decides whether to write to the merchant. The
//! rows and the table of status changes are in [`crate::offers`].
//!
//! ```text
//! undelivered ─▶ delivered ─▶ accepted ─▶ paid_out ─▶ fully_repaid
//!       └────────────┴─▶ expired, replaced, revoked, accepted_other_offer
//!                    accepted ─▶ rejected, canceled ◀─ paid_out
//! ```
//!
//! One table decides how an event changes the known status ([`crate::offers::transition`]). The
//! other fields come from the latest snapshot. Events arrive late, twice, in any order and within
//! the same second; if two of them contradict each other, [`RefreshOffer`] reads the offer from
//! Stripe, and that response wins. An offer that is no longer `undelivered` withdraws its unsent
//! letter; a withdrawn letter stays withdrawn.

mod announce;
mod find;
mod look_up;
mod refresh;
mod to_email;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::financing::BackfillRequests;
use crate::letters;
use crate::offers::store::{self, LockedOffer};
use crate::offers::timeline::{self, Entry};
use crate::offers::transition::{self, Effect, StatusChange};
use crate::offers::{self, ObservedOffer, Source};
use crate::stripe::{OfferId, OfferStatus};

pub use announce::{RULE as EMAIL_RULE, why_no_email};
pub use find::{OfferFinder, RecentlyFound, decode};
pub use look_up::LookUpOffers;
pub use refresh::RefreshOffer;

pub(crate) const JOB: &str = offers::REFRESH_JOB;
/// The cause of refreshes that reconciliation requests.
const RECONCILIATION: &str = "reconcile";

/// The effect of an observation on our records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The offer was unknown.
    New,
    Changed,
    Same,
}

/// Applies an observation of an offer in the caller's transaction. Idempotent: the offer is keyed
/// by its id, the timeline entry by the event's, the letter by the offer's. Opens a letter for a
/// new offer and withdraws one that is no longer wanted. Returns the backfills that it requires;
/// the caller queues them last.
pub async fn apply(
    tx: &mut PgConnection,
    observation: &ObservedOffer<'_>,
    letters: &letters::Opener,
    now: DateTime<Utc>,
) -> sqlx::Result<(Applied, BackfillRequests)> {
    let offer = &observation.offer;
    let known = match store::lock(&mut *tx, offer.id.as_str()).await? {
        Some(known) => Some(known),
        None if store::add(&mut *tx, observation, now).await? => None,
        // Another transaction inserted the offer after our read.
        None => store::lock(&mut *tx, offer.id.as_str()).await?,
    };
    let change = match &known {
        None => OfferChange::default(),
        Some(known) => update_known(&mut *tx, observation, known, now).await?,
    };
    record_timeline_entry(&mut *tx, observation, known.is_some(), &change, now).await?;
    let backfills = match (&known, &change.before) {
        (None, _) | (_, Some(_)) if offer.status == OfferStatus::PaidOut => {
            BackfillRequests::now(&offer.account)
        }
        // If a refill discounted its fee, the amount is known now.
        (Some(_), Some(_))
            if matches!(offer.status, OfferStatus::FullyRepaid | OfferStatus::Completed) =>
        {
            BackfillRequests::now(&offer.account)
        }
        // The payout may be about to be reversed.
        (Some(known), Some(_))
            if known.status == OfferStatus::PaidOut && offer.status == OfferStatus::Canceled =>
        {
            BackfillRequests::now(&offer.account)
        }
        (None, _) => BackfillRequests::first_seen(&offer.account, offer.livemode),
        (Some(_), _) => BackfillRequests::default(),
    };
    let status = match (&known, &change.before) {
        (Some(known), None) => &known.status,
        (Some(_), Some(_)) | (None, _) => &offer.status,
    };
    if announce::is_to_be_delivered(status) {
        if announce::announces_offer(observation) {
            to_email::hand_over(&mut *tx, offer, letters, now).await?;
        }
    } else if !matches!(status, OfferStatus::Other(_)) {
        to_email::withdraw(&mut *tx, &offer.id, status, now).await?;
    }
    if let (Source::Event { id, .. }, Some(old)) = (observation.source, &offer.replacement_for) {
        // No event reports that the old offer was replaced, only the replacement's own.
        offers::request_refresh(tx, old.as_str(), id, now).await?;
    }
    let applied = match known {
        None => Applied::New,
        Some(_) if change.before.is_some() || change.note.is_some() => Applied::Changed,
        Some(_) => Applied::Same,
    };
    Ok((applied, backfills))
}

/// Queues a refresh of an offer that is missing from Stripe's list or contradicts our ledger.
pub async fn request_refresh_for_reconciliation(
    tx: &mut PgConnection,
    offer: &OfferId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    offers::request_refresh(tx, offer.as_str(), RECONCILIATION, now).await
}

#[derive(Debug, Default)]
struct OfferChange {
    /// The status that was replaced.
    before: Option<String>,
    /// For the timeline.
    note: Option<String>,
}

/// Updates a known offer from an observation.
async fn update_known(
    tx: &mut PgConnection,
    observation: &ObservedOffer<'_>,
    known: &LockedOffer,
    now: DateTime<Utc>,
) -> sqlx::Result<OfferChange> {
    let offer = &observation.offer;
    let effect = match observation.source {
        Source::Event { .. } | Source::Listed => transition::by_event(
            &known.status,
            &offer.status,
            observation.as_of.cmp(&known.object_as_of),
        ),
        Source::Asked => transition::by_answer(&known.status, &offer.status),
    };
    let before = if effect.moves {
        store::move_status(&mut *tx, offer.id.as_str(), &offer.status).await?
    } else {
        None
    };
    let mut notes = Vec::new();
    // A direct response is newer than anything known, although Stripe's timestamps have a
    // resolution of one second.
    if matches!(observation.source, Source::Asked) || observation.as_of >= known.object_as_of {
        store::replace(&mut *tx, observation).await?;
        notes.extend(changed_terms(&known.object, observation.object));
    }
    if effect.asks {
        let cause = match observation.source {
            Source::Event { id, .. } => id,
            Source::Listed | Source::Asked => RECONCILIATION,
        };
        offers::request_refresh(tx, offer.id.as_str(), cause, now).await?;
    }
    notes.extend(status_note(observation, known, &effect));
    Ok(OfferChange { before, note: (!notes.is_empty()).then(|| notes.join("; ")) })
}

/// The timeline's note for a status change that is not the regular successor.
fn status_note(
    observation: &ObservedOffer<'_>,
    known: &LockedOffer,
    effect: &Effect,
) -> Option<String> {
    let (known, says) = (&known.status, &observation.offer.status);
    if effect.asks {
        return Some(format!(
            "known as {known}, reported as {says}: asking Stripe, as {}",
            effect.reason
        ));
    }
    let follows = matches!(
        transition::decide(known, says).decision,
        StatusChange::Advance | StatusChange::AdvanceAndAsk
    );
    if !effect.moves || follows {
        return None;
    }
    let letters = if known.is_end() { "; a withdrawn letter stays withdrawn" } else { "" };
    Some(format!("known as {known}, reported as {says}{letters}"))
}

/// Stripe changes the terms of an offer in place on platforms without replacements
/// (<https://docs.stripe.com/capital/replacements>).
fn changed_terms(known: &Value, observation: &Value) -> Option<String> {
    let (known, observation) = (known.get("offered_terms")?, observation.get("offered_terms")?);
    let changes: Vec<String> = ["advance_amount", "fee_amount", "withhold_rate", "currency"]
        .into_iter()
        .filter(|name| known.get(name) != observation.get(name))
        .map(|name| {
            let shown =
                |terms: &Value| terms.get(name).map_or_else(|| "none".to_owned(), Value::to_string);
            format!("{name} {} -> {}", shown(known), shown(observation))
        })
        .collect();
    (!changes.is_empty()).then(|| format!("terms changed: {}", changes.join(", ")))
}

/// An event always gets an entry. A refresh gets one only if it found something new.
async fn record_timeline_entry(
    tx: &mut PgConnection,
    observation: &ObservedOffer<'_>,
    was_known: bool,
    change: &OfferChange,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (event_id, what) = match observation.source {
        Source::Event { id, event_type } => (Some(id), event_type),
        Source::Listed | Source::Asked if !was_known => (None, "offer.found"),
        Source::Listed | Source::Asked if change.before.is_none() && change.note.is_none() => {
            return Ok(());
        }
        Source::Listed | Source::Asked => (None, "offer.looked_at"),
    };
    let entry = Entry {
        offer_id: Some(observation.offer.id.as_str()),
        account_id: Some(observation.offer.account.as_str()),
        event_id,
        kind: what,
        status_before: change.before.as_deref(),
        status_after: Some(observation.offer.status.as_str()),
        note: change.note.as_deref(),
        happened_at: observation.as_of,
    };
    timeline::add(tx, &entry, now).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changed_terms_are_named() {
        let offer =
            |advance: i64| json!({"offered_terms": {"advance_amount": advance, "fee_amount": 10}});
        assert_eq!(changed_terms(&offer(1), &offer(1)), None);
        assert_eq!(
            changed_terms(&offer(100), &offer(200)).as_deref(),
            Some("terms changed: advance_amount 100 -> 200")
        );
        assert_eq!(changed_terms(&offer(1), &json!({})), None, "an object rendered without terms");
    }
}
