//! The `mark_delivered` job: tells Stripe that the merchant has received the offer.

use std::cmp::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{DeliveryMetrics, was_delivered};
use crate::clock::Clock;
use crate::database::Pool;
use crate::letters::deliveries::{self, PendingDelivery, StripeReply};
use crate::offers;
use crate::offers::timeline::{self, Entry};
use crate::offers::transition::by_event;
use crate::queue::{
    self, AttemptError, Circuit, Claim, Next, Outcome, Retryable, Work, retry_until_recorded,
};
use crate::stripe::{ApiResponse, Client, Error, FinancingOffer, OfferId, OfferStatus};
use crate::telemetry::traces;

/// Executes the `mark_delivered` jobs: one call to Stripe per offer, idempotent across retries.
#[derive(Clone, Debug)]
pub struct MarkDelivered {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Client,
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
            return self.finish(claim).await;
        };
        let offer_id: OfferId = delivery.offer_id.parse()?;
        let outcome = self.stripe.mark_delivered(&offer_id, &idempotency_key(&delivery)).await;
        crate::crash::point("mark.after_stripe");
        match outcome {
            Ok(answer) if was_delivered(&answer.object.status) => {
                retry_until_recorded(claim, &self.db, || {
                    self.record(claim, &delivery, &answer, None)
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
    async fn finish(&self, claim: &Claim) -> Result<(), AttemptError> {
        let mut tx = self.db.begin().await?;
        queue::finish(&mut *tx, claim, Outcome::Done, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Records Stripe's response, completes the job and adds the timeline entry, in one
    /// transaction.
    async fn record(
        &self,
        claim: &Claim,
        delivery: &PendingDelivery,
        answered: &ApiResponse<FinancingOffer>,
        note: Option<&str>,
    ) -> Result<(), AttemptError> {
        let now = self.clock.now();
        let answer = StripeReply {
            status: answered.status,
            request_id: answered.request_id.as_deref(),
            body: Some(&answered.body),
            note,
        };
        let mut tx = self.db.begin().await?;
        queue::finish(&mut *tx, claim, Outcome::Done, now).await?;
        let status = &answered.object.status;
        // The offer's row is locked before its delivery, as by every other writer.
        let before = update_status(&mut tx, delivery, status, now).await?;
        deliveries::mark_delivered(&mut *tx, &delivery.offer_id, &answer, now).await?;
        let entry = Entry {
            status_before: before.as_deref(),
            status_after: Some(status.as_str()),
            note,
            ..Entry::ours(
                &delivery.offer_id,
                answered.object.account.as_str(),
                "offer.delivered",
                now,
            )
        };
        timeline::add(&mut *tx, &entry, now).await?;
        tx.commit().await?;
        self.metrics.delivered(delivery, note.is_some(), now);
        tracing::info!(stripe.request_id = answered.request_id, "reported the delivery to Stripe");
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
            self.record(claim, delivery, &seen, Some(&note)).await
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

/// Updates the offer's status from the response. The response ranks like an event: under the same
/// Idempotency-Key Stripe replays its first response for 24 hours
/// (<https://docs.stripe.com/api/idempotent_requests>), so events received since may be newer.
/// Returns the status that was replaced.
async fn update_status(
    tx: &mut PgConnection,
    delivery: &PendingDelivery,
    answered: &OfferStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<String>> {
    let Some(known) = offers::store::lock_status(&mut *tx, &delivery.offer_id).await? else {
        return Ok(None);
    };
    let effect = by_event(&known, answered, Ordering::Equal);
    if effect.asks {
        offers::request_refresh(&mut *tx, &delivery.offer_id, super::JOB, now).await?;
    }
    if effect.moves {
        offers::store::move_status(tx, &delivery.offer_id, answered).await
    } else {
        Ok(None)
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
