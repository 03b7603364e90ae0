//! The `mark_delivered` job: tells Stripe that the merchant has received the offer.

use std::time::Duration;

use sqlx::PgConnection;

use super::record::{Acknowledged, MarkCommits};
use super::{DeliveryMetrics, was_delivered};
use crate::clock::Clock;
use crate::database::Pool;
use crate::letters::deliveries::{self, PendingDelivery, StripeReply};
use crate::queue::{
    self, AttemptError, Circuit, Claim, Next, Outcome, Retryable, Work, retry_until_recorded,
};
use crate::stripe::{Client, Error, OfferId, OfferStatus};
use crate::telemetry::traces;

/// Executes the `mark_delivered` jobs: one call to Stripe per offer, idempotent across retries.
#[derive(Clone, Debug)]
pub struct MarkDelivered {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Client,
    pub commits: MarkCommits,
    pub metrics: DeliveryMetrics,
}

impl Work for MarkDelivered {
    const KIND: &'static str = super::JOB;

    #[tracing::instrument(
        name = "offer.mark_delivered", skip_all, fields(offer.id = %claim.subject)
    )]
    async fn run(&self, claim: &Claim) -> Result<(), AttemptError> {
        traces::set_text("offer.id", &claim.subject);
        // Without a pending delivery an earlier attempt has recorded its outcome: nothing is left.
        let Some(delivery) = deliveries::find_pending(&self.db, &claim.subject).await? else {
            return queue::finish(&self.db, claim, Outcome::Done, self.clock.now()).await;
        };
        let offer_id: OfferId = delivery.offer_id.parse()?;
        let outcome = self.stripe.mark_delivered(&offer_id, &idempotency_key(&delivery)).await;
        crate::crash::point("mark.after_stripe");
        match outcome {
            Ok(answer) if was_delivered(&answer.object.status) => {
                let acknowledged = Acknowledged::new(&delivery, answer, None);
                retry_until_recorded(claim, &self.db, || {
                    self.record(claim, &delivery, &acknowledged)
                })
                .await
            }
            Ok(answer) => Err(NotMarked(answer.object.status).into()),
            Err(error) if error.may_mean_done() => {
                self.confirm_status(claim, &delivery, &offer_id, error).await
            }
            Err(error) => {
                // Same key after an unknown outcome, so that Stripe executes the call once.
                if !error.outcome_is_unknown() {
                    self.change_key(claim, &delivery, &error).await?;
                }
                Err(error.into())
            }
        }
    }

    fn dependencies(&self) -> &[Circuit] {
        std::slice::from_ref(self.stripe.circuit())
    }

    /// Covers the longest backoff and Stripe's `Retry-After`, each at most one hour.
    fn max_delay(&self) -> Duration {
        Duration::from_mins(61)
    }

    async fn give_up(&self, tx: &mut PgConnection, claim: &Claim, error: &str) -> sqlx::Result<()> {
        deliveries::mark_refused(tx, &claim.subject, error).await
    }
}

/// Stays the same while the outcome of a call is unknown, so that Stripe executes it once. Changes
/// after a failure response, because Stripe replays a stored failure for 24 hours
/// (<https://docs.stripe.com/api/idempotent_requests>).
fn idempotency_key(delivery: &PendingDelivery) -> String {
    format!("mark_delivered:{}:{}", delivery.offer_id, delivery.key_number)
}

impl MarkDelivered {
    async fn record(
        &self,
        claim: &Claim,
        delivery: &PendingDelivery,
        acknowledged: &Acknowledged,
    ) -> Result<(), AttemptError> {
        if !self.commits.record(claim, acknowledged).await? {
            return Err(AttemptError::LeaseLost);
        }
        claim.set_done();
        let Acknowledged { answer, note, .. } = acknowledged;
        self.metrics.delivered(delivery, note.is_some(), self.clock.now());
        tracing::info!(stripe.request_id = answer.request_id, "reported the delivery to Stripe");
        Ok(())
    }

    /// Handles a refusal. Stripe does not document how it responds when the offer is already
    /// delivered, so this reads the offer and decides by its status. The refusal is recorded first.
    async fn confirm_status(
        &self,
        claim: &Claim,
        delivery: &PendingDelivery,
        offer_id: &OfferId,
        error: Error,
    ) -> Result<(), AttemptError> {
        if !error.outcome_is_unknown() {
            self.change_key(claim, delivery, &error).await?;
        }
        let seen = self.stripe.offer(offer_id).await?;
        if was_delivered(&seen.object.status) {
            let note = format!("{error}; the offer is {} at Stripe", seen.object.status);
            self.record(claim, delivery, &Acknowledged::new(delivery, seen, Some(note))).await
        } else {
            Err(error.into())
        }
    }

    async fn change_key(
        &self,
        claim: &Claim,
        delivery: &PendingDelivery,
        error: &Error,
    ) -> Result<(), AttemptError> {
        let Error::Refused { status, request_id, body, .. } = error else { return Ok(()) };
        let answer = StripeReply {
            status: *status,
            request_id: request_id.as_deref(),
            body: body.as_ref(),
            note: None,
        };
        let mut tx = self.db.begin().await?;
        queue::lock_claim(&mut *tx, claim).await?;
        deliveries::change_key(&mut *tx, &delivery.offer_id, &answer).await?;
        Ok(tx.commit().await?)
    }
}

/// Stripe answered 2xx but did not change the offer's status.
#[derive(Debug, thiserror::Error)]
#[error("Stripe accepted the call, but the offer is still {0}")]
struct NotMarked(OfferStatus);

impl Retryable for NotMarked {
    fn next(&self) -> Next {
        Next::TryAgain
    }
}
