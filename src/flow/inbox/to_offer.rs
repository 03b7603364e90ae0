//! The arrow from the inbox to the offers: an event about an offer becomes a timeline entry and the
//! offer's new status.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::FollowUps;
use super::parse::{ParsedEvent, Projection};
use crate::flow::offer::{self, Applied};
use crate::letters::{self, SEND_JOB};
use crate::offers::{ObservedOffer, Source};
use crate::stripe::FinancingOffer;

/// The kind of the jobs that [`hand_over`] queues.
pub(super) const NEXT_JOB: &str = SEND_JOB;

/// Projects the events of type `capital.financing_offer.…` among `events`, in the transaction that
/// marks them read. Returns the offers that were unknown, with their positions.
pub(super) async fn hand_over<'a>(
    tx: &mut PgConnection,
    events: &[&'a ParsedEvent],
    letters: &letters::Opener,
    follow_ups: &mut FollowUps,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(usize, &'a FinancingOffer)>> {
    let mut positions = Vec::new();
    let mut observations = Vec::new();
    for (position, parsed) in events.iter().enumerate() {
        let Projection::Offer(received) = &parsed.projection else { continue };
        positions.push(position);
        observations.push(ObservedOffer {
            offer: &received.object,
            object: &received.json,
            source: Source::Event {
                id: &parsed.event.event_id,
                event_type: &parsed.event.event_type,
                traceparent: parsed.traceparent.as_deref(),
            },
            as_of: parsed.event.happened_at,
        });
    }
    if observations.is_empty() {
        return Ok(Vec::new());
    }
    let set = offer::apply_all(tx, &observations, letters, now).await?;
    follow_ups.timeline.merge(set.timeline, &positions);
    follow_ups.look_ups.add(set.look_ups);
    follow_ups.backfills.add(set.backfills);
    let applied = set.applied.into_iter().zip(observations).zip(positions);
    let new = applied.filter(|((applied, _), _)| *applied == Applied::New);
    Ok(new.map(|((_, observation), position)| (position, observation.offer)).collect())
}
