//! The lists of offers at Stripe: the undelivered ones in each run, and once a day all of them.
//!
//! The listing of all offers finds offers that no webhook announced: those made before this
//! service was installed, and those whose later events were lost. It resumes after its last page,
//! in another run or another process. New offers appear at the top of Stripe's list, which the
//! listing has passed; the list of undelivered offers has them.

use std::collections::HashSet;

use chrono::TimeDelta;

use super::store::{self, Counts};
use super::{Incomplete, Reconcile, next_page, skip_unreadable, stop_requested};
use crate::database::is_about_the_data;
use crate::flow::delivered;
use crate::flow::offer::{self, Applied};
use crate::letters::transition;
use crate::offers::{ObservedOffer, Source};
use crate::queue::Claim;
use crate::stripe::{self, FinancingOffer, OfferList, OfferStatus, Page, Received};
use crate::telemetry::chain;

/// From the start of one listing to the start of the next.
const LISTING_INTERVAL: TimeDelta = TimeDelta::days(1);
/// Pages of a listing in one run. Then the undelivered offers and the events have their turn again.
const PAGES_PER_RUN: usize = 100;
/// Stripe's list may lag behind its events by this much.
pub(super) const LIST_LAG: TimeDelta = TimeDelta::minutes(2);

/// How far the listing of all offers has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListingProgress {
    /// Not due, or at its end.
    Idle,
    /// The next run continues.
    Unfinished,
}

impl Reconcile {
    /// Applies the undelivered offers. Returns the ids that Stripe listed, including those of
    /// unreadable offers.
    pub(super) async fn list_undelivered(
        &self,
        claim: &Claim,
        counts: &mut Counts,
    ) -> Result<HashSet<String>, Incomplete> {
        let mut listed = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.stripe.offers(OfferList::Undelivered, after.as_deref()).await?;
            listed.extend(page.entries.iter().filter_map(|entry| stripe::id_of(entry)));
            let applied = self.apply_page(&page).await?;
            counts.offers_seen += applied.seen;
            counts.offers_new += applied.new;
            counts.unreadable += applied.unreadable;
            after = next_page(&page)?;
            if after.is_none() {
                return Ok(listed);
            }
            stop_requested(claim)?;
        }
    }

    /// Continues the listing of all offers, or begins one if it is due.
    pub(super) async fn list_all(
        &self,
        claim: &Claim,
        counts: &mut Counts,
    ) -> Result<ListingProgress, Incomplete> {
        let (livemode, now) = (self.stripe.livemode(), self.clock.now());
        let Some(mut listing) =
            store::due_listing(&self.db, livemode, now - LISTING_INTERVAL, now).await?
        else {
            return Ok(ListingProgress::Idle);
        };
        for _ in 0..PAGES_PER_RUN {
            let after = listing.after_offer_id.as_deref();
            let page = match self.stripe.offers(OfferList::All, after).await {
                // The offer after which the page begins is gone: begin again.
                Err(error) if error.is_missing() && after.is_some() => {
                    store::restart_listing(&self.db, &listing).await?;
                    return Err(error.into());
                }
                page => page?,
            };
            let applied = self.apply_page(&page).await?;
            counts.unreadable += applied.unreadable;
            let next = next_page(&page)?;
            // After the offers: a crash in between repeats the page, which changes nothing.
            let at = self.clock.now();
            match store::advance_listing(&self.db, &listing, next, &applied, at).await? {
                Some(advanced) => listing = advanced,
                // Another process continues it: its lease is newer.
                None => return Ok(ListingProgress::Idle),
            }
            let (offers_seen, offers_new) = (listing.offers_seen, listing.offers_new);
            if listing.ended_at.is_some() {
                tracing::info!(offers_seen, offers_new, "listed all offers at Stripe");
                return Ok(ListingProgress::Idle);
            }
            stop_requested(claim)?;
        }
        let (offers_seen, offers_new) = (listing.offers_seen, listing.offers_new);
        tracing::info!(offers_seen, offers_new, "listing all offers at Stripe");
        Ok(ListingProgress::Unfinished)
    }

    /// Applies the offers of a page, each in a transaction of its own.
    async fn apply_page(&self, page: &Page) -> Result<PageCounts, Incomplete> {
        let as_of = page.at.unwrap_or_else(|| self.clock.now());
        let mut counts = PageCounts::default();
        for entry in &page.entries {
            counts.seen += 1;
            let received = match Received::<FinancingOffer>::read(entry) {
                Ok(received) => received,
                Err(error) => {
                    skip_unreadable("an offer", &error.to_string(), &mut counts.unreadable);
                    continue;
                }
            };
            let observation = ObservedOffer {
                offer: &received.object,
                object: &received.json,
                source: Source::Listed,
                as_of,
            };
            match self.apply(&observation).await {
                Ok(Applied::New) => counts.new += 1,
                Ok(Applied::Changed | Applied::Same) => {}
                Err(error) if is_about_the_data(&error) => {
                    skip_unreadable("an offer", &chain(&error), &mut counts.unreadable);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.jobs.notify();
        Ok(counts)
    }

    async fn apply(&self, observation: &ObservedOffer<'_>) -> sqlx::Result<Applied> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let (applied, backfills) = offer::apply(&mut tx, observation, &self.letters, now).await?;
        if observation.offer.status == OfferStatus::Undelivered {
            // Stripe still lists the offer as undelivered, so what was given up is tried again.
            let offer_id = observation.offer.id.as_str();
            transition::retry_given_up(&mut tx, offer_id, now).await?;
            delivered::retry_given_up(&mut tx, offer_id, now).await?;
            let before = observation.as_of - LIST_LAG;
            delivered::request_again(&mut tx, offer_id, before, now).await?;
        }
        backfills.queue(&mut tx, now).await?;
        tx.commit().await?;
        Ok(applied)
    }
}

/// What became of the offers of a page.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageCounts {
    pub(super) seen: i64,
    pub(super) new: i64,
    pub(super) unreadable: i64,
}
