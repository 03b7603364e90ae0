//! Withdraws the unsent letters of offers that are no longer open.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{decide, to_delivered};
use crate::letters::store::{self, Letter};
use crate::letters::transition;
use crate::stripe::OfferStatus;

/// An offer that is past `undelivered`.
#[derive(Clone, Debug)]
pub struct PassedOffer {
    pub offer_id: String,
    /// The statuses that it came to, in order, each with the position of the change.
    pub statuses: Vec<(usize, OfferStatus)>,
}

/// A letter that was withdrawn.
#[derive(Debug)]
pub struct WithdrawnLetter {
    pub letter: Letter,
    /// As in `letters.reason`.
    pub reason: String,
    /// Of the change that withdrew it.
    pub position: usize,
}

/// Withdraws the unsent letters of offers, in the caller's transaction, which has locked the offers:
/// each for the first status under which it may not go out. The caller records them in the timeline.
/// A letter that is being handed to the relay is not stopped; its outcome is in the timeline.
pub async fn withdraw(
    tx: &mut PgConnection,
    offers: &[PassedOffer],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<WithdrawnLetter>> {
    if offers.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = offers.iter().map(|offer| offer.offer_id.clone()).collect();
    let letters = store::find_unsent(&mut *tx, &ids).await?;
    if letters.is_empty() {
        return Ok(Vec::new());
    }
    let by_id: HashMap<&str, &PassedOffer> =
        offers.iter().map(|offer| (offer.offer_id.as_str(), offer)).collect();
    let acknowledged = to_delivered::delivered_among(&mut *tx, &ids).await?;
    let mut ends: Vec<(Letter, String)> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for letter in letters {
        let Some(offer) = by_id.get(letter.offer_id.as_str()) else { continue };
        let is_acknowledged = acknowledged.contains(&letter.offer_id);
        if let Some((position, status)) = end_of(&letter, offer, is_acknowledged) {
            positions.insert(letter.letter_id.clone(), position);
            ends.push((letter, format!("offer_{status}")));
        }
    }
    let withdrawn = transition::withdraw_all(tx, &ends, now).await?;
    ends.retain(|(letter, _)| withdrawn.contains(&letter.letter_id));
    let withdrawn = ends.into_iter().map(|(letter, reason)| {
        let position = positions.get(&letter.letter_id).copied().unwrap_or_default();
        WithdrawnLetter { letter, reason, position }
    });
    Ok(withdrawn.collect())
}

/// The first status of the letter's offer under which it may not go out.
fn end_of<'a>(
    letter: &Letter,
    offer: &'a PassedOffer,
    is_acknowledged: bool,
) -> Option<(usize, &'a OfferStatus)> {
    let ends = |status: &OfferStatus| !decide::is_announced_by(letter, status, is_acknowledged);
    let end = offer.statuses.iter().find(|(_, status)| ends(status));
    end.map(|(position, status)| (*position, status))
}
