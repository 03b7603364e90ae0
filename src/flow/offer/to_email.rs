//! The arrow from the offers to the letters: a new offer opens one letter and queues its sending,
//! and an offer that is no longer open withdraws it. Both are part of the transaction that writes
//! the offer.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::fold::{Fold, trace_of};
use crate::flow::email::{self, PassedOffer};
use crate::letters::{self, Kind, NewLetter, opened_entry};
use crate::offers::ObservedOffer;
use crate::offers::timeline::Entry;

/// Opens the offers' first letters, unless they have one.
pub(super) async fn hand_over(
    tx: &mut PgConnection,
    fold: &mut Fold<'_>,
    letters: &letters::Opener,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // In the order of the observations, in which letters are then sent.
    let mut opened: Vec<(usize, &ObservedOffer<'_>, Option<String>)> = fold
        .offers()
        .filter_map(|(_, offer)| offer.opened_by)
        .map(|(position, seen)| (position, seen, trace_of(seen.source)))
        .collect();
    opened.sort_by_key(|(position, ..)| *position);
    let new_letters: Vec<NewLetter<'_>> = opened
        .iter()
        .map(|(_, seen, traceparent)| NewLetter {
            offer_id: seen.offer.id.as_str(),
            account_id: seen.offer.account.as_str(),
            sequence: 0,
            kind: Kind::first(seen.offer),
            traceparent: traceparent.as_deref(),
        })
        .collect();
    let ids = letters.open_all(tx, &new_letters, now).await?;
    for ((new_letter, letter_id), (position, ..)) in new_letters.iter().zip(&ids).zip(&opened) {
        if let Some(letter_id) = letter_id {
            fold.timeline.add(*position, &opened_entry(new_letter, letter_id, now));
        }
    }
    Ok(())
}

/// Withdraws the unsent letters of the offers that are no longer open.
pub(super) async fn withdraw(
    tx: &mut PgConnection,
    fold: &mut Fold<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let passed = fold.offers().filter(|(_, offer)| !offer.passed.is_empty());
    let passed: Vec<PassedOffer> = passed
        .map(|(id, offer)| PassedOffer { offer_id: id.to_owned(), statuses: offer.passed.clone() })
        .collect();
    for withdrawn in email::withdraw(tx, &passed, now).await? {
        let (letter, kind) = (&withdrawn.letter, "letter.withdrawn");
        let entry = Entry::ours(&letter.offer_id, &letter.account_id, kind, now);
        fold.timeline.add(withdrawn.position, &entry.with_note(&withdrawn.reason));
    }
    Ok(())
}
