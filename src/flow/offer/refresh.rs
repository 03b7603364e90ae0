//! The `refresh_offer` job: reads an offer from Stripe when events contradict each other or are
//! missing.

use std::time::Duration;

use crate::clock::Clock;
use crate::database::{Pool, json_text};
use crate::letters;
use crate::offers::{ObservedOffer, Source, store};
use crate::queue::{self, AttemptError, Circuit, Claim, Notifier, Outcome, Work};
use crate::stripe::{Client, OfferId};
use crate::telemetry::traces;

#[derive(Clone, Debug)]
pub struct RefreshOffer {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Client,
    /// Opens the letter about an offer that the refresh finds.
    pub letters: letters::Opener,
    /// Notified when a letter may have been opened.
    pub jobs: Notifier,
}

impl Work for RefreshOffer {
    const KIND: &'static str = super::JOB;

    #[tracing::instrument(name = "offer.refresh", skip_all, fields(offer.id))]
    async fn run(&self, claim: &Claim) -> Result<(), AttemptError> {
        let (offer_id, _) = claim.subject.split_once('/').unwrap_or((&claim.subject, ""));
        let offer_id: OfferId = offer_id.parse()?;
        tracing::Span::current().record("offer.id", offer_id.as_str());
        traces::set_text("offer.id", offer_id.as_str());
        let before = store::find_version(&self.db, offer_id.as_str()).await?;
        let now = self.clock.now();
        let seen = match self.stripe.offer(&offer_id).await {
            // The offer belongs to another platform or to deleted test data: there is nothing to
            // update.
            Err(error) if error.is_not_found() => {
                tracing::warn!("offer not found at Stripe");
                return queue::finish(&self.db, claim, Outcome::Done, now).await;
            }
            seen => seen?,
        };
        let object = json_text(&seen.body);
        let observation = ObservedOffer {
            offer: &seen.object,
            object: &object,
            source: Source::Asked,
            as_of: seen.at.unwrap_or(now),
        };
        let mut tx = self.db.begin().await?;
        queue::lock_claim(&mut *tx, claim).await?;
        // An event applied while Stripe was being asked may be newer than the response: ask again.
        if store::lock_version(&mut tx, offer_id.as_str()).await? != before {
            queue::finish(&mut *tx, claim, Outcome::Reschedule { at: now }, now).await?;
            return Ok(tx.commit().await?);
        }
        // The fence comes first: without the lease, nothing below may be written.
        queue::finish(&mut *tx, claim, Outcome::Done, now).await?;
        let (_, backfills) = super::apply(&mut tx, &observation, &self.letters, now).await?;
        backfills.queue(&mut tx, now).await?;
        tx.commit().await?;
        self.jobs.notify();
        Ok(())
    }

    /// Covers the longest backoff and Stripe's `Retry-After`, each at most one hour.
    fn max_delay(&self) -> Duration {
        Duration::from_mins(61)
    }

    fn dependencies(&self) -> &[Circuit] {
        std::slice::from_ref(self.stripe.circuit())
    }
}
