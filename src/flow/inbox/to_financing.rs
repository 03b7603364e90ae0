//! The arrow from the inbox to financing: an event about a transaction becomes a ledger entry and a
//! timeline entry.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::FollowUps;
use super::mentions::Mentions;
use super::parse::{ParsedEvent, Projection};
use crate::financing::{self, BackfillRequests, ObservedTransaction, Recorded};
use crate::offers::timeline::Entry;
use crate::stripe::{FinancingTransaction, OfferId, TransactionType};

/// An event about a transaction, and its position in the batch.
struct TransactionEvent<'a> {
    position: usize,
    parsed: &'a ParsedEvent,
    transaction: &'a FinancingTransaction,
}

/// Projects the events of type `capital.financing_transaction.…` among `events`, in the transaction
/// that marks them read. A new transaction requires a backfill if its account is seen for the first
/// time, because most of its financing may precede this event, and after a payout; and it mentions
/// its offer, or without one its account.
pub(super) async fn hand_over(
    tx: &mut PgConnection,
    events: &[&ParsedEvent],
    mentions: &mut Mentions,
    follow_ups: &mut FollowUps,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (mut of_events, mut observed) = (Vec::new(), Vec::new());
    for (position, parsed) in events.iter().enumerate() {
        let Projection::Transaction(received) = &parsed.projection else { continue };
        let transaction = &received.object;
        observed.push(ObservedTransaction { transaction, object: &received.json });
        of_events.push(TransactionEvent { position, parsed, transaction });
    }
    if observed.is_empty() {
        return Ok(());
    }
    let recorded = financing::record_all(&mut *tx, &observed, now).await?;
    let mut new = Vec::new();
    for (event, recorded) in of_events.into_iter().zip(recorded) {
        record_timeline_entry(&event, follow_ups);
        if recorded == Recorded::Inserted {
            follow_ups.backfills.add(backfills(event.transaction));
            match &event.transaction.financing_offer {
                Some(offer) => mentions.offer(event.position, offer),
                None => mentions.account(event.position, event.transaction.account.clone()),
            }
            new.push(event);
        }
    }
    ask_about_cancellations(tx, &new, follow_ups).await
}

fn record_timeline_entry(event: &TransactionEvent<'_>, follow_ups: &mut FollowUps) {
    let transaction = event.transaction;
    let entry = Entry {
        offer_id: transaction.financing_offer.as_ref().map(OfferId::as_str),
        account_id: Some(transaction.account.as_str()),
        event_id: Some(&event.parsed.event.event_id),
        kind: &event.parsed.event.event_type,
        status_before: None,
        status_after: None,
        note: Some(transaction.id.as_str()),
        happened_at: transaction.created_at,
    };
    follow_ups.timeline.add(event.position, &entry);
}

fn backfills(transaction: &FinancingTransaction) -> BackfillRequests {
    if transaction.type_ == TransactionType::Payout {
        BackfillRequests::now(&transaction.account)
    } else {
        BackfillRequests::first_seen(&transaction.account, transaction.livemode)
    }
}

/// A reversed payout can mean that the financing was canceled
/// (<https://docs.stripe.com/capital/reporting-and-reconciliation>). The event that says so may
/// never arrive, so the offer is read from Stripe. A payout that arrives after its reversal is not
/// missed: reconciliation compares the reversals with the offers.
async fn ask_about_cancellations(
    tx: &mut PgConnection,
    new: &[TransactionEvent<'_>],
    follow_ups: &mut FollowUps,
) -> sqlx::Result<()> {
    let reversals: HashMap<&str, &TransactionEvent<'_>> = new
        .iter()
        .filter(|event| event.transaction.type_ == TransactionType::Reversal)
        .map(|event| (event.transaction.id.as_str(), event))
        .collect();
    if reversals.is_empty() {
        return Ok(());
    }
    let positions: HashMap<&str, usize> =
        new.iter().map(|event| (event.transaction.id.as_str(), event.position)).collect();
    let ids: Vec<String> = reversals.keys().map(|id| (*id).to_owned()).collect();
    for (reversal_id, offer_id) in financing::reversed_payouts(tx, &ids).await? {
        let Some(event) = reversals.get(reversal_id.as_str()) else { continue };
        let reversed = event.transaction.details.reversed_transaction.as_ref();
        let arrived = reversed.and_then(|reversed| positions.get(reversed.as_str()));
        if arrived.is_none_or(|position| *position < event.position) {
            let trace = event.parsed.traceparent.clone();
            follow_ups.look_ups.refresh(&offer_id, &event.parsed.event.event_id, trace);
        }
    }
    Ok(())
}
