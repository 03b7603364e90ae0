//! Applies observations to the offers in memory, one after the other, and collects what has to be
//! written. No database.

use std::collections::{BTreeMap, HashMap};

use crate::financing::BackfillRequests;
use crate::offers::look_up::LookUps;
use crate::offers::sets::{KnownOffer, KnownTerms, Snapshot};
use crate::offers::timeline::{Entries, Entry};
use crate::offers::transition::{self, Effect, StatusChange};
use crate::offers::{ObservedOffer, Source};
use crate::stripe::{FinancingOffer, OfferId, OfferStatus, ProductType};
use crate::telemetry::traces;

use super::announce::announces_offer;
use super::{Applied, RECONCILIATION};

/// The offers, and what the observations require. Positions are those of the observations.
#[derive(Debug)]
pub(super) struct Fold<'a> {
    offers: BTreeMap<&'a str, Folded<'a>>,
    pub(super) applied: Vec<Applied>,
    pub(super) timeline: Entries,
    pub(super) look_ups: LookUps,
    pub(super) backfills: BackfillRequests,
}

/// An offer and how it differs from its row.
#[derive(Debug)]
pub(super) struct Folded<'a> {
    known: KnownOffer,
    is_moved: bool,
    /// The snapshot to be stored.
    snapshot: Option<Snapshot<'a>>,
    /// The observation that opens the first letter, unless there is one.
    pub(super) opened_by: Option<(usize, &'a ObservedOffer<'a>)>,
    /// The statuses past `undelivered` that it came to.
    pub(super) passed: Vec<(usize, OfferStatus)>,
}

#[derive(Debug, Default)]
struct OfferChange {
    /// The status that was replaced.
    before: Option<OfferStatus>,
    /// For the timeline.
    note: Option<String>,
}

impl<'a> Fold<'a> {
    /// Applies all observations to the stored offers; those that are not among them are new.
    pub(super) fn new(
        observations: &'a [ObservedOffer<'a>],
        known: &HashMap<String, KnownOffer>,
    ) -> Self {
        let mut fold = Self {
            offers: BTreeMap::new(),
            applied: Vec::with_capacity(observations.len()),
            timeline: Entries::default(),
            look_ups: LookUps::default(),
            backfills: BackfillRequests::default(),
        };
        for (position, seen) in observations.iter().enumerate() {
            let id = seen.offer.id.as_str();
            if let Some(known) = known.get(id) {
                fold.offers.entry(id).or_insert_with(|| Folded::of(known.clone()));
            }
            fold.apply(position, seen);
        }
        fold
    }

    fn apply(&mut self, position: usize, seen: &'a ObservedOffer<'a>) {
        let offer = seen.offer;
        let id = offer.id.as_str();
        let (was_known, change) = match self.offers.get_mut(id) {
            Some(folded) => (true, folded.update(seen, &mut self.look_ups)),
            None => (false, OfferChange::default()),
        };
        let folded = self.offers.entry(id).or_insert_with(|| Folded::new(seen));
        folded.note_letters(position, seen);
        if let Some((event_id, kind)) = entry_kind(seen.source, was_known, &change) {
            let entry = Entry {
                offer_id: Some(id),
                account_id: Some(offer.account.as_str()),
                event_id,
                kind,
                status_before: change.before.as_ref().map(OfferStatus::as_str),
                status_after: Some(offer.status.as_str()),
                note: change.note.as_deref(),
                happened_at: seen.as_of,
            };
            self.timeline.add(position, &entry);
        }
        self.backfills.add(backfills(seen, was_known, change.before.as_ref()));
        if let (Source::Event { id, .. }, Some(old)) = (seen.source, &offer.replacement_for) {
            // No event reports that the old offer was replaced, only the replacement's own.
            self.look_ups.refresh(old.as_str(), id, trace_of(seen.source));
        }
        self.applied.push(match (was_known, change) {
            (false, _) => Applied::New,
            (true, OfferChange { before: None, note: None }) => Applied::Same,
            (true, _) => Applied::Changed,
        });
    }

    /// The offers, in the order of their ids.
    pub(super) fn offers(&self) -> impl Iterator<Item = (&'a str, &Folded<'a>)> {
        self.offers.iter().map(|(id, folded)| (*id, folded))
    }
}

impl<'a> Folded<'a> {
    fn of(known: KnownOffer) -> Self {
        Self { known, is_moved: false, snapshot: None, opened_by: None, passed: Vec::new() }
    }

    /// Of an offer whose first observation was inserted.
    fn new(seen: &'a ObservedOffer<'a>) -> Self {
        Self::of(KnownOffer {
            status: seen.offer.status.clone(),
            object_as_of: seen.as_of,
            terms: KnownTerms::of(seen.offer),
        })
    }

    /// The status to be stored.
    pub(super) fn moved_to(&self) -> Option<&OfferStatus> {
        self.is_moved.then_some(&self.known.status)
    }

    pub(super) fn snapshot(&self) -> Option<Snapshot<'a>> {
        self.snapshot
    }

    /// Updates a known offer from an observation.
    fn update(&mut self, seen: &'a ObservedOffer<'a>, look_ups: &mut LookUps) -> OfferChange {
        let offer = seen.offer;
        let known = &mut self.known;
        let effect = match seen.source {
            Source::Event { .. } | Source::Listed => transition::by_event(
                &known.status,
                &offer.status,
                seen.as_of.cmp(&known.object_as_of),
            ),
            Source::Asked => transition::by_answer(&known.status, &offer.status),
        };
        let mut notes = Vec::new();
        // A direct response is newer than anything known, although Stripe's timestamps have a
        // resolution of one second.
        let replaces = matches!(seen.source, Source::Asked) || seen.as_of >= known.object_as_of;
        if replaces {
            let terms = KnownTerms::of(offer);
            notes.extend(changed_terms(known.terms.as_ref(), terms.as_ref()));
            (known.object_as_of, known.terms) = (seen.as_of, terms);
        }
        if effect.asks {
            let cause = match seen.source {
                Source::Event { id, .. } => id,
                Source::Listed | Source::Asked => RECONCILIATION,
            };
            look_ups.refresh(offer.id.as_str(), cause, trace_of(seen.source));
        }
        notes.extend(status_note(&known.status, &offer.status, &effect));
        let before =
            effect.moves.then(|| std::mem::replace(&mut known.status, offer.status.clone()));
        self.is_moved |= before.is_some();
        if replaces {
            self.replace_snapshot(seen);
        }
        OfferChange { before, note: (!notes.is_empty()).then(|| notes.join("; ")) }
    }

    fn replace_snapshot(&mut self, seen: &'a ObservedOffer<'a>) {
        let of_earlier =
            |of: fn(&Snapshot<'a>) -> Option<&'a OfferId>| self.snapshot.as_ref().and_then(of);
        let replacement = seen.offer.replacement.as_ref();
        let replacement_for = seen.offer.replacement_for.as_ref();
        self.snapshot = Some(Snapshot {
            seen,
            replacement: replacement.or_else(|| of_earlier(|earlier| earlier.replacement)),
            replacement_for: replacement_for
                .or_else(|| of_earlier(|earlier| earlier.replacement_for)),
        });
    }

    /// Notes what the status means for the letters.
    fn note_letters(&mut self, position: usize, seen: &'a ObservedOffer<'a>) {
        let status = &self.known.status;
        if *status == OfferStatus::Undelivered {
            if announces_offer(seen) && self.opened_by.is_none() {
                self.opened_by = Some((position, seen));
            }
        } else if status.is_past_undelivered()
            // The same status again withdraws nothing more.
            && self.passed.last().is_none_or(|(_, last)| last != status)
        {
            self.passed.push((position, status.clone()));
        }
    }
}

/// The trace that jobs continue.
pub(super) fn trace_of(source: Source<'_>) -> Option<String> {
    match source {
        Source::Event { traceparent, .. } => traceparent.map(str::to_owned),
        Source::Listed | Source::Asked => traces::traceparent(),
    }
}

/// The event and kind of the timeline entry. An event always gets an entry. A refresh gets one only
/// if it found something new.
fn entry_kind<'a>(
    source: Source<'a>,
    was_known: bool,
    change: &OfferChange,
) -> Option<(Option<&'a str>, &'a str)> {
    match source {
        Source::Event { id, event_type, .. } => Some((Some(id), event_type)),
        Source::Listed | Source::Asked if !was_known => Some((None, "offer.found")),
        Source::Listed | Source::Asked if change.before.is_none() && change.note.is_none() => None,
        Source::Listed | Source::Asked => Some((None, "offer.looked_at")),
    }
}

/// The backfill that an observation requires.
fn backfills(
    seen: &ObservedOffer<'_>,
    was_known: bool,
    before: Option<&OfferStatus>,
) -> BackfillRequests {
    let offer = seen.offer;
    match (was_known, before) {
        (false, _) | (true, Some(_)) if offer.status == OfferStatus::PaidOut => {
            BackfillRequests::now(&offer.account)
        }
        // If a refill discounted its fee, the amount is known now.
        (true, Some(_))
            if matches!(offer.status, OfferStatus::FullyRepaid | OfferStatus::Completed) =>
        {
            BackfillRequests::now(&offer.account)
        }
        // The payout may be about to be reversed.
        (true, Some(OfferStatus::PaidOut)) if offer.status == OfferStatus::Canceled => {
            BackfillRequests::now(&offer.account)
        }
        (false, _) if shows_financing(offer) => {
            BackfillRequests::first_seen(&offer.account, offer.livemode)
        }
        (_, _) => BackfillRequests::default(),
    }
}

/// Whether the account has, or may have had, a financing. An account that never had one costs no
/// call for its list: an earlier financing shows in an offer of its own, which the listing of all
/// offers finds, and in events about transactions.
fn shows_financing(offer: &FinancingOffer) -> bool {
    // A refill refinances another financing.
    offer.product_type == Some(ProductType::Refill)
        || match offer.status {
            OfferStatus::Undelivered
            | OfferStatus::Delivered
            | OfferStatus::Accepted
            | OfferStatus::Rejected
            | OfferStatus::Expired
            | OfferStatus::Replaced
            | OfferStatus::Revoked
            | OfferStatus::AcceptedOtherOffer => false,
            OfferStatus::PaidOut
            | OfferStatus::FullyRepaid
            | OfferStatus::Completed
            | OfferStatus::Canceled
            | OfferStatus::Other(_) => true,
        }
}

/// The timeline's note for a status change that is not the regular successor.
fn status_note(known: &OfferStatus, says: &OfferStatus, effect: &Effect) -> Option<String> {
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
/// (<https://docs.stripe.com/capital/replacements>). An object rendered without terms changes none.
fn changed_terms(known: Option<&KnownTerms>, seen: Option<&KnownTerms>) -> Option<String> {
    let (known, seen) = (known?, seen?);
    let shown = |terms: &KnownTerms| {
        [
            terms.advance_minor.to_string(),
            terms.fee_minor.to_string(),
            terms.withhold_rate.to_string(),
            format!("\"{}\"", terms.currency),
        ]
    };
    let names = ["advance_amount", "fee_amount", "withhold_rate", "currency"];
    let changes: Vec<String> = names
        .into_iter()
        .zip(shown(known).into_iter().zip(shown(seen)))
        .filter(|(_, (known, seen))| known != seen)
        .map(|(name, (known, seen))| format!("{name} {known} -> {seen}"))
        .collect();
    (!changes.is_empty()).then(|| format!("terms changed: {}", changes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_terms_are_named() {
        let terms = |advance_minor: i64| KnownTerms {
            advance_minor,
            fee_minor: 10,
            withhold_rate: 0.15,
            currency: "usd".to_owned(),
        };
        let changed = |known: Option<KnownTerms>, seen: Option<KnownTerms>| {
            changed_terms(known.as_ref(), seen.as_ref())
        };
        assert_eq!(changed(Some(terms(1)), Some(terms(1))), None);
        assert_eq!(
            changed(Some(terms(100)), Some(terms(200))).as_deref(),
            Some("terms changed: advance_amount 100 -> 200")
        );
        assert_eq!(changed(Some(terms(1)), None), None, "an object rendered without terms");
    }
}
