//! The commit of Stripe's acknowledgement, in one transaction with those of other offers that wait
//! at that moment.

use std::cmp::Ordering;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::clock::Clock;
use crate::database::{GroupCommit, Grouped, Pool};
use crate::letters::deliveries::{self, PendingDelivery, StripeReply};
use crate::offers;
use crate::offers::look_up::LookUps;
use crate::offers::timeline::{Entries, Entry};
use crate::offers::transition::by_event;
use crate::queue::{self, Claim};
use crate::stripe::{ApiResponse, FinancingOffer, OfferStatus};
use crate::telemetry::traces;

/// Clones share the groups.
#[derive(Clone, Debug)]
pub struct MarkCommits(GroupCommit<Record>);

/// What Stripe answered about an offer that counts as delivered.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) offer_id: String,
    pub(super) answer: Arc<ApiResponse<FinancingOffer>>,
    /// Explains the state where the response alone does not.
    pub(super) note: Option<String>,
}

impl Acknowledged {
    pub(super) fn new(
        delivery: &PendingDelivery,
        answer: ApiResponse<FinancingOffer>,
        note: Option<String>,
    ) -> Self {
        Self { offer_id: delivery.offer_id.clone(), answer: Arc::new(answer), note }
    }
}

impl MarkCommits {
    pub fn new(db: &Pool, clock: &Clock) -> Self {
        Self(GroupCommit::new(db.clone(), Record { clock: clock.clone() }))
    }

    /// Records Stripe's response, completes the job and adds the timeline entry. False if the lease
    /// was lost, and nothing recorded.
    pub(super) async fn record(
        &self,
        claim: &Claim,
        acknowledged: &Acknowledged,
    ) -> sqlx::Result<bool> {
        let (claim, acknowledged) = (claim.clone(), acknowledged.clone());
        let traceparent = traces::traceparent();
        self.0.run(Recording { claim, acknowledged, traceparent }).await
    }
}

#[derive(Debug)]
struct Record {
    clock: Clock,
}

#[derive(Debug)]
struct Recording {
    claim: Claim,
    acknowledged: Acknowledged,
    traceparent: Option<String>,
}

impl Grouped for Record {
    type Operation = Recording;
    type Output = bool;

    async fn run(&self, tx: &mut PgConnection, marks: &[&Recording]) -> sqlx::Result<Vec<bool>> {
        let now = self.clock.now();
        let claims: Vec<&Claim> = marks.iter().map(|mark| &mark.claim).collect();
        // The fence comes first: without the lease, nothing below may be written.
        let held = queue::finish_all(&mut *tx, &claims, now).await?;
        record_all(tx, &queue::held_among(marks, &held), now).await?;
        Ok(held)
    }

    fn before_commit(&self) {
        crate::crash::point("marks.before_commit");
    }

    fn after_commit(&self) {
        crate::crash::point("marks.after_commit");
    }
}

async fn record_all(
    tx: &mut PgConnection,
    marks: &[&Recording],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let offers: Vec<String> = marks.iter().map(|mark| mark.acknowledged.offer_id.clone()).collect();
    // The offers' rows are locked before their deliveries, as by every other writer.
    let known = offers::sets::lock_all(&mut *tx, &offers).await?;
    let (mut timeline, mut look_ups) = (Entries::default(), LookUps::default());
    let (mut moved, mut statuses, mut replies) = (Vec::new(), Vec::new(), Vec::new());
    for (position, mark) in marks.iter().enumerate() {
        let Acknowledged { offer_id, answer, note } = &mark.acknowledged;
        let status = &answer.object.status;
        let note = note.as_deref();
        let before = known.get(offer_id).map(|known| &known.status);
        // The response ranks like an event: under the same Idempotency-Key Stripe replays its first
        // response for 24 hours (<https://docs.stripe.com/api/idempotent_requests>), so events
        // received since may be newer.
        let effect = before.map(|before| by_event(before, status, Ordering::Equal));
        if effect.is_some_and(|effect| effect.asks) {
            look_ups.refresh(offer_id, super::JOB, mark.traceparent.clone());
        }
        let replaced = before.filter(|_| effect.is_some_and(|effect| effect.moves));
        if replaced.is_some() {
            moved.push(offer_id.clone());
            statuses.push(status.to_string());
        }
        let entry = Entry {
            status_before: replaced.map(OfferStatus::as_str),
            status_after: Some(status.as_str()),
            note,
            ..Entry::ours(offer_id, answer.object.account.as_str(), "offer.delivered", now)
        };
        timeline.add(position, &entry);
        let reply = StripeReply {
            status: answer.status,
            request_id: answer.request_id.as_deref(),
            body: Some(&answer.body),
            note,
        };
        replies.push((offer_id.as_str(), reply));
    }
    offers::sets::move_all(&mut *tx, &moved, &statuses).await?;
    deliveries::mark_all_delivered(&mut *tx, &replies, now).await?;
    timeline.insert(&mut *tx, now).await?;
    look_ups.queue(tx, now).await
}
