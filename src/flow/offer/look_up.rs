//! The `look_up` job: lists the offers of an account that is not known here, or reads the object of
//! an event that Stripe failed to generate.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::find::OfferFinder;
use crate::financing::BackfillRequests;
use crate::offers;
use crate::offers::look_up::{LOOK_UP_JOB, LookUps};
use crate::queue::{self, AttemptError, Circuit, Claim, Outcome, Work};
use crate::stripe::{AccountId, EventId, GenerationFailure, OfferId};

/// Runs the jobs that [`LookUps`] queues.
#[derive(Clone, Debug)]
pub struct LookUpOffers {
    pub finder: OfferFinder,
}

impl Work for LookUpOffers {
    const KIND: &'static str = LOOK_UP_JOB;

    #[tracing::instrument(name = "offer.look_up", skip_all, fields(subject = claim.subject))]
    async fn run(&self, claim: &Claim) -> Result<(), AttemptError> {
        let finder = &self.finder;
        if let Ok(account) = claim.subject.parse::<AccountId>() {
            let new = finder.find(&account).await?;
            tracing::info!(account.id = %account, offers.new = new, "listed the account's offers");
            return queue::finish(&finder.db, claim, Outcome::Done, finder.clock.now()).await;
        }
        let event: EventId = claim.subject.parse()?;
        let failure = match finder.stripe.generation_failure(&event).await {
            Err(error) if error.is_not_found() => None,
            failure => Some(failure?),
        };
        let now = finder.clock.now();
        let mut tx = finder.db.begin().await?;
        queue::finish(&mut *tx, claim, Outcome::Done, now).await?;
        if let Some(failure) = &failure {
            request(&mut tx, failure, &event, now).await?;
        } else {
            tracing::warn!(event.id = %event, "event not found at Stripe");
        }
        tx.commit().await?;
        finder.jobs.notify();
        Ok(())
    }

    fn dependencies(&self) -> &[Circuit] {
        std::slice::from_ref(self.finder.stripe.circuit())
    }
}

/// Queues what reads the object: a refresh of an offer, a backfill for a transaction. For any other
/// object of an account, both lists of the account.
async fn request(
    tx: &mut PgConnection,
    failure: &GenerationFailure,
    event: &EventId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let object_id = failure.object_id().unwrap_or_default();
    tracing::info!(event.id = %event, object.id = object_id, "an event was never generated");
    if let Ok(offer) = object_id.parse::<OfferId>() {
        return offers::request_refresh(tx, offer.as_str(), event.as_str(), now).await;
    }
    let account = failure.account_id().unwrap_or(object_id);
    if let Ok(account) = account.parse::<AccountId>() {
        let mut look_ups = LookUps::default();
        look_ups.account(&account);
        look_ups.queue(&mut *tx, now).await?;
        BackfillRequests::now(&account).queue(tx, now).await?;
    }
    Ok(())
}
