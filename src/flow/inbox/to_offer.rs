//! The arrow from the inbox to the offers: an event about an offer becomes a timeline entry and the
//! offer's new status.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::FollowUps;
use super::store::{ReadOutcome, UnreadEvent};
use crate::flow::offer;
use crate::letters;
use crate::offers::{ObservedOffer, Source};

/// Projects one event of type `capital.financing_offer.…`, in the transaction that marks it read.
/// Returns the jobs that it requires.
pub(super) async fn hand_over(
    tx: &mut PgConnection,
    event: &UnreadEvent,
    object: &Value,
    letters: &letters::Opener,
    now: DateTime<Utc>,
) -> sqlx::Result<(ReadOutcome, FollowUps)> {
    let offer = match serde_json::from_value(object.clone()) {
        Ok(offer) => offer,
        Err(error) => {
            let why = format!("data.object is not a known form of offer: {error}");
            return Ok((ReadOutcome::Unreadable(why), FollowUps::default()));
        }
    };
    let observation = ObservedOffer {
        offer,
        object,
        source: Source::Event { id: &event.event_id, event_type: &event.event_type },
        as_of: event.happened_at,
    };
    let (_, backfills) = offer::apply(tx, &observation, letters, now).await?;
    Ok((ReadOutcome::Read(None), FollowUps { backfills, ..FollowUps::default() }))
}
