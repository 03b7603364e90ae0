//! Reconciliation with Stripe: finds offers and events that no webhook delivered, because the
//! endpoint was down, disabled or not registered. Stripe does not list an event as undelivered if no
//! endpoint was registered when it was made: then the offer is found, and the event is not.
//!
//! ```text
//! events without a 2xx response ──────────▶ inbox           as if from a webhook
//! offers that are undelivered at Stripe ──▶ offer           opens or updates the offer
//! offers that are undelivered only here ──▶ refresh offer   an event is missing
//! financings that were reversed ──────────▶ refresh offer   an event is missing
//! ```
//!
//! One run at a time across all replicas ([`Periodic`]). A run that could not read everything is
//! recorded as incomplete.

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
use crate::financing;
use crate::flow::delivered;
use crate::flow::inbox::{self, Arrival, StoreResult};
use crate::flow::offer::{self, Applied};
use crate::letters::transition;
use crate::offers;
use crate::offers::store::StaleFilter;
use crate::offers::{Observation, Source};
use crate::queue::{AttemptError, Circuit, Claim, Notifier, Periodic};
use crate::stripe::{self, Client, Error, FinancingOffer, OfferId, Page};
use crate::telemetry::chain;
use store::Counts;

#[derive(Clone, Debug)]
pub struct Reconcile {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Client,
    /// The domain of the Message-IDs of new letters.
    pub message_id_domain: String,
    /// Notified when an event was stored.
    pub inbox: Notifier,
    /// Notified when a letter was opened.
    pub jobs: Notifier,
    /// The pause between two runs.
    pub every: Duration,
}

/// The pause after an incomplete run, if shorter than `every`.
const AFTER_INCOMPLETE: Duration = Duration::from_mins(1);
/// More refreshes at once would delay letters. The next run continues.
const MAX_REFRESHES: i64 = 1000;
/// Stripe's list may lag behind its events by this much.
const LIST_LAG: TimeDelta = TimeDelta::minutes(2);

#[derive(Debug)]
pub struct Run {
    id: Uuid,
    counts: Counts,
    /// Why the run is incomplete, if it is.
    error: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Incomplete {
    #[error(transparent)]
    Stripe(Box<Error>),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("Stripe announced another page without an id to continue after")]
    PageWithoutLastId,
    #[error("more offers must be refreshed than one run allows")]
    TooManyRefreshes,
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
    async fn run(&self, claim: &Claim) -> Result<(Duration, Run), AttemptError> {
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
            "reconciliation is incomplete; it will be repeated"
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
    /// Reads both lists, even if the first one fails.
    async fn execute(&self, claim: &Claim, counts: &mut Counts) -> Result<(), Incomplete> {
        let events = self.import_events(claim, counts).await;
        let listed = self.import_offers(claim, counts).await;
        events.and(self.check_unlisted(&listed?, counts).await)
    }

    async fn import_events(&self, claim: &Claim, counts: &mut Counts) -> Result<(), Incomplete> {
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
                            skip_unreadable("an event", &chain(&error), counts);
                        }
                        Err(error) => return Err(error.into()),
                    },
                    Err(why) => skip_unreadable("an event", &why, counts),
                }
            }
            self.inbox.notify();
            after = next_page(&page)?;
            if after.is_none() {
                return Ok(());
            }
            stop_requested(claim)?;
        }
    }

    /// Returns the ids that Stripe listed, including those of unreadable offers.
    async fn import_offers(
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
                        let observation =
                            Observation { offer, object: &object, source: Source::Listed, as_of };
                        match self.import_offer(&observation).await {
                            Ok(Applied::New) => counts.offers_new += 1,
                            Ok(Applied::Changed | Applied::Same) => {}
                            Err(error) if is_about_the_data(&error) => {
                                skip_unreadable("an offer", &chain(&error), counts);
                            }
                            Err(error) => return Err(error.into()),
                        }
                    }
                    Err(why) => skip_unreadable("an offer", &why.to_string(), counts),
                }
            }
            self.jobs.notify();
            after = next_page(&page)?;
            if after.is_none() {
                return Ok(listed);
            }
            stop_requested(claim)?;
        }
    }

    async fn import_offer(&self, observation: &Observation<'_>) -> sqlx::Result<Applied> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let (applied, to_read) =
            offer::apply(&mut tx, observation, &self.message_id_domain, now).await?;
        // Stripe still lists the offer as undelivered, so what was given up is tried again.
        let offer_id = observation.offer.id.as_str();
        transition::retry_given_up(&mut tx, offer_id, now).await?;
        delivered::retry_given_up(&mut tx, offer_id, now).await?;
        delivered::request_again(&mut tx, offer_id, observation.as_of - LIST_LAG, now).await?;
        to_read.queue(&mut tx, now).await?;
        tx.commit().await?;
        Ok(applied)
    }

    /// Refreshes offers that are undelivered here and missing from Stripe's list, and financings
    /// that a transaction reversed: an event about each is missing.
    async fn check_unlisted(
        &self,
        listed: &HashSet<String>,
        counts: &mut Counts,
    ) -> Result<(), Incomplete> {
        let now = self.clock.now();
        let listed: Vec<String> = listed.iter().cloned().collect();
        let cancellations = financing::cancellations(&self.db).await?;
        let filter = StaleFilter {
            listed: &listed,
            cancellations: &cancellations,
            livemode: self.stripe.livemode(),
            before: now - LIST_LAG,
        };
        let missing = offers::store::find_stale(&self.db, &filter, MAX_REFRESHES).await?;
        for offer_id in &missing {
            let Ok(offer_id) = offer_id.parse::<OfferId>() else { continue };
            let mut tx = self.db.begin().await?;
            offer::request_refresh_for_reconciliation(&mut tx, &offer_id, now).await?;
            tx.commit().await?;
            counts.offers_refreshed += 1;
        }
        self.jobs.notify();
        if i64::try_from(missing.len()).unwrap_or(i64::MAX) < MAX_REFRESHES {
            Ok(())
        } else {
            Err(Incomplete::TooManyRefreshes)
        }
    }
}

fn skip_unreadable(what: &str, error: &str, counts: &mut Counts) {
    counts.unreadable += 1;
    tracing::error!(error, "cannot read {what} in Stripe's list; skipped it");
}

/// The id to continue after, if there is another page.
fn next_page(page: &Page) -> Result<Option<String>, Incomplete> {
    if !page.has_more {
        return Ok(None);
    }
    page.last_id().map(Some).ok_or(Incomplete::PageWithoutLastId)
}

/// Ends a run during a shutdown, which must not wait for it. The next process starts a new run.
fn stop_requested(claim: &Claim) -> Result<(), Incomplete> {
    if claim.is_stopping() { Err(Incomplete::Stopping) } else { Ok(()) }
}
