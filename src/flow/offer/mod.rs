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
//!
//! Any number of observations is applied by the same statements: [`apply_all`] locks the offers,
//! `fold` applies the observations in memory in their order, and each kind of row is then written
//! with one statement.

mod announce;
mod find;
mod fold;
mod look_up;
mod refresh;
mod to_email;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::financing::BackfillRequests;
use crate::letters;
use crate::offers::look_up::LookUps;
use crate::offers::sets::{self, KnownOffer};
use crate::offers::timeline::Entries;
use crate::offers::{self, ObservedOffer};
use crate::stripe::OfferId;
use fold::Fold;

pub use announce::{RULE as EMAIL_RULE, why_no_email};
pub use find::{OfferFinder, RecentlyFound};
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

/// The effects of applied observations that the caller writes, in this order, at the end of its
/// transaction.
#[derive(Debug)]
pub struct AppliedSet {
    /// Of each observation in turn.
    pub applied: Vec<Applied>,
    /// At the positions of the observations.
    pub timeline: Entries,
    pub look_ups: LookUps,
    pub backfills: BackfillRequests,
}

/// Applies observations of offers in the caller's transaction, with the effect of one after the
/// other. Idempotent: the offer is keyed by its id, the timeline entry by the event's, the letter by
/// the offer's. Opens a letter for a new offer and withdraws one that is no longer wanted.
///
/// The number of statements does not depend on the number of observations.
pub async fn apply_all(
    tx: &mut PgConnection,
    observations: &[ObservedOffer<'_>],
    letters: &letters::Opener,
    now: DateTime<Utc>,
) -> sqlx::Result<AppliedSet> {
    let known = lock_or_add(&mut *tx, observations, now).await?;
    let mut fold = Fold::new(observations, &known);
    let moved = fold.offers().filter_map(|(id, offer)| Some((id, offer.moved_to()?)));
    let (ids, statuses): (Vec<String>, Vec<String>) =
        moved.map(|(id, status)| (id.to_owned(), status.to_string())).unzip();
    sets::move_all(&mut *tx, &ids, &statuses).await?;
    let snapshots: Vec<_> = fold.offers().filter_map(|(_, offer)| offer.snapshot()).collect();
    sets::replace_all(&mut *tx, &snapshots).await?;
    to_email::hand_over(&mut *tx, &mut fold, letters, now).await?;
    to_email::withdraw(tx, &mut fold, now).await?;
    let Fold { applied, timeline, look_ups, backfills, .. } = fold;
    Ok(AppliedSet { applied, timeline, look_ups, backfills })
}

/// Applies one observation, as [`apply_all`]. Returns the backfills that it requires; the caller
/// queues them last.
pub async fn apply(
    tx: &mut PgConnection,
    observation: &ObservedOffer<'_>,
    letters: &letters::Opener,
    now: DateTime<Utc>,
) -> sqlx::Result<(Applied, BackfillRequests)> {
    let set = apply_all(&mut *tx, std::slice::from_ref(observation), letters, now).await?;
    set.timeline.insert(&mut *tx, now).await?;
    set.look_ups.queue(tx, now).await?;
    let applied = set.applied.first().copied().unwrap_or(Applied::Same);
    Ok((applied, set.backfills))
}

/// Locks the offers that are stored and inserts the others, each by its first observation. Returns
/// those that were stored before.
async fn lock_or_add(
    tx: &mut PgConnection,
    observations: &[ObservedOffer<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<HashMap<String, KnownOffer>> {
    let mut first: BTreeMap<&OfferId, &ObservedOffer<'_>> = BTreeMap::new();
    for observation in observations {
        first.entry(&observation.offer.id).or_insert(observation);
    }
    let ids: Vec<String> = first.keys().map(ToString::to_string).collect();
    let mut known = sets::lock_all(&mut *tx, &ids).await?;
    crate::crash::point("offers.after_lock");
    first.retain(|id, _| !known.contains_key(id.as_str()));
    let new: Vec<&ObservedOffer<'_>> = first.values().copied().collect();
    let added = sets::add_all(&mut *tx, &new, now).await?;
    // Another transaction inserted these after our read.
    let ids: Vec<String> =
        first.keys().map(ToString::to_string).filter(|id| !added.contains(id)).collect();
    known.extend(sets::lock_all(tx, &ids).await?);
    Ok(known)
}

/// Queues a refresh of an offer that is missing from Stripe's list or contradicts our ledger.
pub async fn request_refresh_for_reconciliation(
    tx: &mut PgConnection,
    offer: &OfferId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    offers::request_refresh(tx, offer.as_str(), RECONCILIATION, now).await
}
