//! Asks Stripe what we missed: an endpoint that was down for days, was never registered, or that Stripe switched off.
//!
//! ```text
//! events that no endpoint answered 2xx to ──▶ inbox     by the same door as a webhook
//! offers that Stripe calls undelivered ─────▶ offer     new ones get their letter, known ones are brought up to date
//! offers that only we call undelivered ─────▶ look      an event is missing: Stripe is asked about each
//! financings that a transaction undid ──────▶ look      likewise
//! ```
//!
//! One run at a time over all replicas ([`Periodic`]). A run that could not see everything says so
//! and counts as none.

pub mod store;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::{Pool, is_about_the_data};
use crate::flow::delivered;
use crate::flow::inbox::{self, Arrival, StoreResult};
use crate::flow::offer::{self, Applied};
use crate::letters::transition;
use crate::offers;
use crate::offers::store::Missing;
use crate::offers::{Observation, Source};
use crate::queue::{Circuit, Claim, Notifier, Periodic, Stopped};
use crate::stripe::{self, Client, Error, FinancingOffer, OfferId, Page};
use crate::telemetry::chain;
use store::Counts;

/// Asks Stripe what we missed.
#[derive(Clone, Debug)]
pub struct Reconcile {
    /// Where everything is kept.
    pub db: Pool,
    /// When things are written down.
    pub clock: Clock,
    /// Whom to ask.
    pub stripe: Client,
    /// The domain of the Message-ID of letters that are opened.
    pub message_id_domain: String,
    /// Rung when an event was taken in.
    pub inbox: Notifier,
    /// Rung when a letter was opened.
    pub jobs: Notifier,
    /// From the end of one run to the beginning of the next.
    pub every: Duration,
}

/// After a run that could not see everything.
const AFTER_INCOMPLETE: Duration = Duration::from_mins(1);
/// More offers_refreshed at once would hold up letters; the next run goes on.
const MAX_LOOKS: i64 = 1000;
/// Stripe may not list an offer yet that its event told us of a moment ago.
const SETTLED: TimeDelta = TimeDelta::minutes(2);

/// A run that ended.
#[derive(Debug)]
pub struct Run {
    id: Uuid,
    counts: Counts,
    /// Why it is incomplete.
    error: Option<String>,
}

/// Why a run is incomplete.
#[derive(Debug, thiserror::Error)]
enum Incomplete {
    #[error(transparent)]
    Stripe(Box<Error>),
    #[error("the database did not take it")]
    Database(#[from] sqlx::Error),
    #[error("a page of Stripe's claims that others follow, and does not say after what")]
    PageWithoutEnd,
    #[error("there are more offers to look at than one run does")]
    MoreToLookAt,
    #[error("the process was stopping")]
    Stopping,
}

impl From<Error> for Incomplete {
    fn from(error: Error) -> Self {
        Self::Stripe(Box::new(error))
    }
}

impl Periodic for Reconcile {
    const KIND: &'static str = "reconcile";
    type Report = Run;

    fn db(&self) -> &Pool {
        &self.db
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn max_pause(&self) -> Duration {
        self.every.max(AFTER_INCOMPLETE)
    }

    fn dependencies(&self) -> &[Circuit] {
        std::slice::from_ref(self.stripe.circuit())
    }

    #[tracing::instrument(name = "reconcile.run", skip_all)]
    async fn run(&self, claim: &Claim) -> Result<(Duration, Run), Stopped> {
        let run_id = Uuid::now_v7();
        store::begin(&self.db, run_id, self.clock.now()).await?;
        let mut counts = Counts::default();
        let outcome = self.execute(claim, &mut counts).await;
        let error = outcome.as_ref().err().map(|error| chain(error));
        log(&counts, error.as_deref());
        let pause = if error.is_some() { AFTER_INCOMPLETE.min(self.every) } else { self.every };
        Ok((pause, Run { id: run_id, counts, error }))
    }

    async fn record(
        &self,
        tx: &mut PgConnection,
        run: &Run,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        store::end(tx, run.id, &run.counts, run.error.as_deref(), now).await
    }
}

fn log(counts: &Counts, error: Option<&str>) {
    let &Counts { offers_seen, offers_new, events_seen, events_new, offers_refreshed, unreadable } =
        counts;
    if let Some(error) = error {
        tracing::warn!(
            error,
            offers_seen,
            events_seen,
            "reconciliation is incomplete; trying again"
        );
    } else {
        tracing::info!(
            offers_seen,
            offers_new,
            events_seen,
            events_new,
            offers_refreshed,
            unreadable,
            "reconciled"
        );
    }
}

impl Reconcile {
    /// One list that cannot be had does not cost the other.
    async fn execute(&self, claim: &Claim, counts: &mut Counts) -> Result<(), Incomplete> {
        let events = self.take_events(claim, counts).await;
        let listed = self.take_offers(claim, counts).await;
        events.and(self.check_unlisted(&listed?, counts).await)
    }

    async fn take_events(&self, claim: &Claim, counts: &mut Counts) -> Result<(), Incomplete> {
        let mut after: Option<String> = None;
        loop {
            let page = self.stripe.undelivered_events(after.as_deref()).await?;
            for entry in &page.entries {
                counts.events_seen += 1;
                let bytes = Bytes::copy_from_slice(entry.get().as_bytes());
                match Arrival::parse(bytes, self.clock.now()) {
                    Ok(arrival) => match inbox::store::store(&self.db, &arrival).await {
                        Ok(StoreResult::Inserted) => counts.events_new += 1,
                        Ok(StoreResult::Duplicate) => {}
                        Err(error) if is_about_the_data(&error) => {
                            skip("an event", &chain(&error), counts);
                        }
                        Err(error) => return Err(error.into()),
                    },
                    Err(why) => skip("an event", &why, counts),
                }
            }
            self.inbox.notify();
            after = next_page(&page)?;
            if after.is_none() {
                return Ok(());
            }
            go_on(claim)?;
        }
    }

    /// Says which offers Stripe listed.
    async fn take_offers(
        &self,
        claim: &Claim,
        counts: &mut Counts,
    ) -> Result<HashSet<String>, Incomplete> {
        let mut listed = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.stripe.undelivered_offers(after.as_deref()).await?;
            let as_of = page.at.unwrap_or_else(|| self.clock.now());
            for entry in &page.entries {
                counts.offers_seen += 1;
                listed.extend(stripe::id_of(entry));
                let read = serde_json::from_str::<Value>(entry.get()).and_then(|object| {
                    serde_json::from_value::<FinancingOffer>(object.clone())
                        .map(|offer| (offer, object))
                });
                match read {
                    Ok((offer, object)) => {
                        let told =
                            Observation { offer, object: &object, source: Source::Listed, as_of };
                        match self.take_offer(&told).await {
                            Ok(Applied::New) => counts.offers_new += 1,
                            Ok(Applied::Changed | Applied::Same) => {}
                            Err(error) if is_about_the_data(&error) => {
                                skip("an offer", &chain(&error), counts);
                            }
                            Err(error) => return Err(error.into()),
                        }
                    }
                    Err(why) => skip("an offer", &why.to_string(), counts),
                }
            }
            self.jobs.notify();
            after = next_page(&page)?;
            if after.is_none() {
                return Ok(listed);
            }
            go_on(claim)?;
        }
    }

    async fn take_offer(&self, told: &Observation<'_>) -> sqlx::Result<Applied> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let (taken, to_read) = offer::apply(&mut tx, told, &self.message_id_domain, now).await?;
        // The list is of offers that Stripe calls undelivered.
        let offer_id = told.offer.id.as_str();
        transition::retry_given_up(&mut tx, offer_id, now).await?;
        delivered::retry_given_up(&mut tx, offer_id, now).await?;
        delivered::request_again(&mut tx, offer_id, told.as_of - SETTLED, now).await?;
        to_read.queue(&mut tx, now).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Offers that we call undelivered and Stripe did not list, and financings that a transaction
    /// undid: an event about each is missing.
    async fn check_unlisted(
        &self,
        listed: &HashSet<String>,
        counts: &mut Counts,
    ) -> Result<(), Incomplete> {
        let now = self.clock.now();
        let listed: Vec<String> = listed.iter().cloned().collect();
        let wanted =
            Missing { listed: &listed, livemode: self.stripe.livemode(), before: now - SETTLED };
        let missing = offers::store::undelivered_but(&self.db, &wanted, MAX_LOOKS).await?;
        for offer_id in &missing {
            let Ok(offer_id) = offer_id.parse::<OfferId>() else { continue };
            let mut tx = self.db.begin().await?;
            offer::request_refresh_for_reconciliation(&mut tx, &offer_id, now).await?;
            tx.commit().await?;
            counts.offers_refreshed += 1;
        }
        self.jobs.notify();
        if i64::try_from(missing.len()).unwrap_or(i64::MAX) < MAX_LOOKS {
            Ok(())
        } else {
            Err(Incomplete::MoreToLookAt)
        }
    }
}

fn skip(what: &str, why: &str, counts: &mut Counts) {
    counts.unreadable += 1;
    tracing::error!(why, "cannot read {what} in Stripe's list: a person must look");
}

/// The id to go on after, where there is another page.
fn next_page(page: &Page) -> Result<Option<String>, Incomplete> {
    if !page.has_more {
        return Ok(None);
    }
    page.last_id().map(Some).ok_or(Incomplete::PageWithoutEnd)
}

/// A long run does not hold up a stop: the next process begins anew.
fn go_on(claim: &Claim) -> Result<(), Incomplete> {
    if claim.is_stopping() { Err(Incomplete::Stopping) } else { Ok(()) }
}
