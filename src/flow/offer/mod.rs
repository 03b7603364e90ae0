//! Offers as Stripe last told us of them, and the decision whether a merchant is to be written to.
//!
//! ```text
//! undelivered ─▶ delivered ─▶ accepted ─▶ paid_out ─▶ fully_repaid
//!       └────────────┴─▶ expired, replaced, revoked, accepted_other_offer
//!                    accepted ─▶ rejected, canceled ◀─ paid_out
//! ```
//!
//! What an event does to the status that is known is in one table
//! ([`crate::offers::transition`]); the object's other fields follow whichever rendering Stripe
//! made last. Events come late, twice and in any order, some within one second; where two of them
//! cannot both be true, Stripe is asked ([`RefreshOffer`]), and its answer stands. An offer that is
//! no longer `undelivered` takes back a letter that has not left; a letter that was taken back
//! stays so.

mod refresh;
mod to_email;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::financing::BackfillRequests;
use crate::offers::store::{self, Known};
use crate::offers::timeline::{self, Entry};
use crate::offers::transition::{self, Decision, Effect};
use crate::offers::{self, Observation, Source};
use crate::stripe::{OfferId, OfferStatus};

pub use refresh::RefreshOffer;

/// The kind of the jobs that ask Stripe about an offer.
pub(crate) const JOB: &str = offers::REFRESH_JOB;
/// The occasion of a look that reconciliation asks for.
const RECONCILIATION: &str = "reconcile";

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The offer was new to us.
    New,
    /// It was known, and is now another than before.
    Changed,
    /// It was known just so.
    Same,
}

/// Takes in what Stripe tells. Twice is once: the offer is written by its id, the line by the event's, the letter by the
/// offer's. Opens a letter for an offer that nobody has been told of, and withdraws one that is no longer wanted. Says whose
/// transactions are to be read: the caller queues that when all else of its transaction is written.
pub async fn take_in(
    tx: &mut PgConnection,
    told: &Observation<'_>,
    message_id_domain: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<(Applied, BackfillRequests)> {
    let offer = &told.offer;
    let known = match store::lock(&mut *tx, offer.id.as_str()).await? {
        Some(known) => Some(known),
        None if store::add(&mut *tx, told, now).await? => None,
        // Somebody else added it since.
        None => store::lock(&mut *tx, offer.id.as_str()).await?,
    };
    let change = match &known {
        None => Change::default(),
        Some(known) => follow(&mut *tx, told, known, now).await?,
    };
    write_line(&mut *tx, told, known.is_some(), &change, now).await?;
    let to_read = match (&known, &change.before) {
        (None, _) | (_, Some(_)) if offer.status == OfferStatus::PaidOut => {
            BackfillRequests::now(&offer.account)
        }
        // The reversal of the payout may be on its way.
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
    if *status == OfferStatus::Undelivered {
        if announces(told) {
            to_email::hand_over(&mut *tx, offer, message_id_domain, now).await?;
        }
    } else if !matches!(status, OfferStatus::Other(_)) {
        to_email::withdraw(&mut *tx, &offer.id, status, now).await?;
    }
    if let (Source::Event { id, .. }, Some(old)) = (told.source, &offer.replacement_for) {
        // No event says that an offer was replaced but its replacement's.
        offers::request_refresh(tx, old.as_str(), id, now).await?;
    }
    let taken = match known {
        None => Applied::New,
        Some(_) if change.before.is_some() || change.note.is_some() => Applied::Changed,
        Some(_) => Applied::Same,
    };
    Ok((taken, to_read))
}

/// Queues a look at an offer that Stripe's list lacks, or that our own transactions contradict.
pub async fn look_again(
    tx: &mut PgConnection,
    offer: &OfferId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    offers::request_refresh(tx, offer.as_str(), RECONCILIATION, now).await
}

/// How a known offer changed.
#[derive(Debug, Default)]
struct Change {
    /// The status that was replaced.
    before: Option<String>,
    /// What a person should know.
    note: Option<String>,
}

/// Brings a known offer up to what is told.
async fn follow(
    tx: &mut PgConnection,
    told: &Observation<'_>,
    known: &Known,
    now: DateTime<Utc>,
) -> sqlx::Result<Change> {
    let offer = &told.offer;
    let effect = match told.source {
        Source::Event { .. } | Source::Listed => {
            transition::by_event(&known.status, &offer.status, told.as_of.cmp(&known.object_as_of))
        }
        Source::Asked => transition::by_answer(&known.status, &offer.status),
    };
    let before = if effect.moves {
        store::move_status(&mut *tx, offer.id.as_str(), &offer.status).await?
    } else {
        None
    };
    let mut notes = Vec::new();
    // An answer is younger than all that is known, though Stripe's clock tells whole seconds only.
    if matches!(told.source, Source::Asked) || told.as_of >= known.object_as_of {
        store::replace(&mut *tx, told).await?;
        notes.extend(changed_terms(&known.object, told.object));
    }
    if effect.asks {
        let occasion = match told.source {
            Source::Event { id, .. } => id,
            Source::Listed | Source::Asked => RECONCILIATION,
        };
        offers::request_refresh(tx, offer.id.as_str(), occasion, now).await?;
    }
    notes.extend(said(told, known, &effect));
    Ok(Change { before, note: (!notes.is_empty()).then(|| notes.join("; ")) })
}

/// What a person should know of a status that does not simply follow.
fn said(told: &Observation<'_>, known: &Known, effect: &Effect) -> Option<String> {
    let (known, says) = (&known.status, &told.offer.status);
    if effect.asks {
        return Some(format!(
            "{known} was known, {says} is told: asking Stripe, as {}",
            effect.reason
        ));
    }
    let follows = matches!(
        transition::decide(known, says).decision,
        Decision::Advance | Decision::AdvanceAndAsk
    );
    if !effect.moves || follows {
        return None;
    }
    let letters = if known.is_end() { "; a letter that was withdrawn stays so" } else { "" };
    Some(format!("{known} was known, Stripe says {says}{letters}"))
}

/// Stripe changes the terms of an offer in place where a platform has no replacements
/// (<https://docs.stripe.com/capital/replacements>).
fn changed_terms(known: &Value, told: &Value) -> Option<String> {
    let (known, told) = (known.get("offered_terms")?, told.get("offered_terms")?);
    let changes: Vec<String> = ["advance_amount", "fee_amount", "withhold_rate", "currency"]
        .into_iter()
        .filter(|name| known.get(name) != told.get(name))
        .map(|name| {
            let shown =
                |terms: &Value| terms.get(name).map_or_else(|| "none".to_owned(), Value::to_string);
            format!("{name} {} -> {}", shown(known), shown(told))
        })
        .collect();
    (!changes.is_empty()).then(|| format!("terms changed: {}", changes.join(", ")))
}

/// An event always has its line. A look has one where it brought something new.
async fn write_line(
    tx: &mut PgConnection,
    told: &Observation<'_>,
    was_known: bool,
    change: &Change,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (event_id, what) = match told.source {
        Source::Event { id, event_type } => (Some(id), event_type),
        Source::Listed | Source::Asked if !was_known => (None, "offer.found"),
        Source::Listed | Source::Asked if change.before.is_none() && change.note.is_none() => {
            return Ok(());
        }
        Source::Listed | Source::Asked => (None, "offer.looked_at"),
    };
    let entry = Entry {
        offer_id: Some(told.offer.id.as_str()),
        account_id: Some(told.offer.account.as_str()),
        event_id,
        kind: what,
        status_before: change.before.as_deref(),
        status_after: Some(told.offer.status.as_str()),
        note: change.note.as_deref(),
        happened_at: told.as_of,
    };
    timeline::add(tx, &entry, now).await
}

/// Whether this says that there is an offer that the platform must deliver. A replacement usually arrives already delivered, by
/// Stripe (<https://docs.stripe.com/capital/replacements>).
fn announces(told: &Observation<'_>) -> bool {
    let says_so = match told.source {
        Source::Listed | Source::Asked => true,
        Source::Event { event_type, .. } => {
            let kind = event_type.trim_start_matches("capital.financing_offer.");
            matches!(kind, "created" | "replacement_created")
        }
    };
    says_so && told.offer.status == OfferStatus::Undelivered
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_that_changed_in_place_are_named() {
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
