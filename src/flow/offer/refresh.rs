//! The job that asks Stripe how an offer stands: where events contradict each other, or are missing.

use std::time::Duration;

use sqlx::PgConnection;

use crate::clock::Clock;
use crate::database::Pool;
use crate::offers::{Observation, Source, store};
use crate::queue::{self, Circuit, Claim, Notifier, Outcome, Stopped, Work};
use crate::stripe::{Client, OfferId};

/// Looks at offers.
#[derive(Clone, Debug)]
pub struct RefreshOffer {
    /// Where the offers are.
    pub db: Pool,
    /// When things are written down.
    pub clock: Clock,
    /// Whom to ask.
    pub stripe: Client,
    /// The domain of the Message-ID of a letter that a look opens.
    pub message_id_domain: String,
    /// Rung when a letter was opened.
    pub jobs: Notifier,
}

impl Work for RefreshOffer {
    const KIND: &'static str = super::JOB;

    #[tracing::instrument(name = "offer.look", skip_all, fields(offer.id))]
    async fn run(&self, claim: &Claim) -> Result<(), Stopped> {
        let (offer_id, _) = claim.subject.split_once('/').unwrap_or((&claim.subject, ""));
        let offer_id: OfferId = offer_id.parse()?;
        tracing::Span::current().record("offer.id", offer_id.as_str());
        let before = store::find_version(&self.db, offer_id.as_str()).await?;
        let now = self.clock.now();
        let seen = match self.stripe.offer(&offer_id).await {
            // Of another platform's, or gone with its test data: there is nothing to learn, and nobody to tell.
            Err(error) if error.is_not_found() => {
                tracing::warn!("Stripe does not know this offer");
                let mut tx = self.db.begin().await?;
                queue::finish(&mut tx, claim, Outcome::Done, now).await?.or_stop()?;
                return Ok(tx.commit().await?);
            }
            seen => seen?,
        };
        let told = Observation {
            offer: seen.object,
            object: &seen.body,
            source: Source::Asked,
            as_of: seen.at.unwrap_or(now),
        };
        let mut tx = self.db.begin().await?;
        queue::still_held(&mut *tx, claim).await?.or_stop()?;
        // What was heard since Stripe was asked may be younger than its answer: then it is asked
        // once more.
        if store::lock_version(&mut tx, offer_id.as_str()).await? != before {
            queue::finish(&mut tx, claim, Outcome::Reschedule { at: now }, now).await?.or_stop()?;
            return Ok(tx.commit().await?);
        }
        queue::finish(&mut tx, claim, Outcome::Done, now).await?.or_stop()?;
        let (_, to_read) = super::take_in(&mut tx, &told, &self.message_id_domain, now).await?;
        to_read.queue(&mut tx, now).await?;
        tx.commit().await?;
        self.jobs.notify();
        Ok(())
    }

    /// A pause after a failure, or Stripe's own `Retry-After`: an hour at most, and a little.
    fn max_delay(&self) -> Duration {
        Duration::from_mins(61)
    }

    async fn give_up(
        &self,
        _tx: &mut PgConnection,
        _claim: &Claim,
        _error: &str,
    ) -> sqlx::Result<()> {
        // The dead job itself is what a person sees; the offer stays as it is known.
        Ok(())
    }

    fn dependencies(&self) -> &[Circuit] {
        std::slice::from_ref(self.stripe.circuit())
    }
}
