//! The arrow from the letters to the deliveries: when the relay has accepted a letter, Stripe must
//! be told. The caller commits this together with the relay's reply.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::flow::delivered::{self, SentOffer};
use crate::letters::deliveries;
use crate::letters::store::Letter;

/// The kind of job that [`hand_over`] queues: notify its worker after the commit.
pub(super) const NEXT_JOB: &str = delivered::JOB;

/// A letter that the relay accepted, and its trace.
pub(super) type SentLetter<'a> = (&'a Letter, Option<&'a str>);

pub(super) async fn hand_over(
    tx: &mut PgConnection,
    letters: &[SentLetter<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sent = letters.iter().map(|(letter, traceparent)| SentOffer {
        offer_id: &letter.offer_id,
        letter_id: &letter.letter_id,
        traceparent: *traceparent,
    });
    delivered::request(tx, &sent.collect::<Vec<_>>(), now).await
}

/// Those of the offers of which Stripe acknowledged our report that they were delivered.
pub(super) async fn delivered_among(
    db: impl PgExecutor<'_>,
    offer_ids: &[String],
) -> sqlx::Result<HashSet<String>> {
    deliveries::delivered_among(db, offer_ids).await
}

/// Whether Stripe acknowledged our report that the offer was delivered.
pub(super) async fn is_delivered(db: impl PgExecutor<'_>, offer_id: &str) -> sqlx::Result<bool> {
    let delivery = deliveries::find(db, offer_id).await?;
    Ok(delivery.is_some_and(|delivery| delivery.state == "delivered"))
}
