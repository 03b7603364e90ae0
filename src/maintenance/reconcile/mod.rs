//! Reconciliation with Stripe: finds offers and events that no webhook delivered, because the
//! endpoint was down, disabled or not registered, or because the offers were made before this
//! service was installed.
//!
//! ```text
//! offers that are undelivered at Stripe ──▶ offer           opens or updates the offer
//! all offers at Stripe, once a day ───────▶ offer           the same, whatever their status
//! events without a 2xx response ──────────▶ inbox           as if from a webhook
//! events since the last complete run ─────▶ inbox           the same
//! offers that are undelivered only here ──▶ refresh offer   an event is missing
//! financings that were reversed ──────────▶ refresh offer   an event is missing
//! ```
//!
//! One run at a time across all replicas ([`Periodic`]). A run that could not read everything is
//! recorded as incomplete.

mod events;
mod listing;
pub mod store;

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::Pool;
use crate::financing;
use crate::flow::offer;
use crate::letters;
use crate::offers::stale::{StaleFilter, find_stale};
use crate::queue::{AttemptError, Circuit, Claim, Notifier, Periodic};
use crate::stripe::{Client, Error, OfferId, Page};
use crate::telemetry::chain;
use listing::{LIST_LAG, ListingProgress};
use store::Counts;

#[derive(Clone, Debug)]
pub struct Reconcile {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Client,
    /// Opens the letters about offers that no webhook announced.
    pub letters: letters::Opener,
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
        let pause = match outcome {
            Ok(ListingProgress::Idle) => self.every,
            Ok(ListingProgress::Unfinished) => Duration::ZERO,
            Err(_) => AFTER_INCOMPLETE.min(self.every),
        };
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
    let &Counts {
        offers_seen,
        offers_new,
        events_seen,
        events_new,
        events_missed,
        offers_refreshed,
        unreadable,
    } = counts;
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
            events_missed,
            offers_refreshed,
            unreadable,
            "reconciled"
        );
    }
}

impl Reconcile {
    /// Reads all lists, even if one of them fails. The offers come first: what they became decides
    /// about a letter, and old events change nothing any more.
    async fn execute(
        &self,
        claim: &Claim,
        counts: &mut Counts,
    ) -> Result<ListingProgress, Incomplete> {
        let listed = self.list_undelivered(claim, counts).await;
        let listing = self.list_all(claim, counts).await;
        let events = self.import_missed_events(claim, counts).await;
        self.check_unlisted(&listed?, counts).await?;
        events?;
        listing
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
        let missing = find_stale(&self.db, &filter, MAX_REFRESHES).await?;
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

fn skip_unreadable(what: &str, error: &str, unreadable: &mut i64) {
    *unreadable += 1;
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
