//! The arrow from the inbox to financing: an event about a transaction becomes a ledger entry and a
//! timeline entry.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::FollowUps;
use super::store::{ReadOutcome, UnreadEvent};
use crate::financing::ledger::store::find;
use crate::financing::{self, BackfillRequests, ObservedTransaction, Recorded};
use crate::offers;
use crate::offers::look_up::LookUps;
use crate::offers::timeline::{self, Entry};
use crate::stripe::{FinancingTransaction, OfferId, TransactionType};

/// Projects one event of type `capital.financing_transaction.…`, in the transaction that marks it
/// read. It requires a backfill for an account seen for the first time, because most of its
/// financing may precede this event, and after a payout; and a look-up of an offer or account that
/// is unknown.
pub(super) async fn hand_over(
    tx: &mut PgConnection,
    event: &UnreadEvent,
    object: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<(ReadOutcome, FollowUps)> {
    let transaction = match serde_json::from_value(object.clone()) {
        Ok(transaction) => transaction,
        Err(error) => {
            let why = format!("data.object is not a known form of transaction: {error}");
            return Ok((ReadOutcome::Unreadable(why), FollowUps::default()));
        }
    };
    let observation = ObservedTransaction { transaction, object };
    let recorded = financing::record(&mut *tx, &observation, now).await?;
    let transaction = &observation.transaction;
    let entry = Entry {
        offer_id: transaction.financing_offer.as_ref().map(OfferId::as_str),
        account_id: Some(transaction.account.as_str()),
        event_id: Some(&event.event_id),
        kind: &event.event_type,
        status_before: None,
        status_after: None,
        note: Some(transaction.id.as_str()),
        happened_at: transaction.created_at,
    };
    timeline::add(&mut *tx, &entry, now).await?;
    if recorded == Recorded::Inserted && transaction.type_ == TransactionType::Reversal {
        ask_about_cancellation(tx, &observation, &event.event_id, now).await?;
    }
    let backfills = match recorded {
        Recorded::Inserted if transaction.type_ == TransactionType::Payout => {
            BackfillRequests::now(&transaction.account)
        }
        Recorded::Inserted => {
            BackfillRequests::first_seen(&transaction.account, transaction.livemode)
        }
        Recorded::Duplicate => BackfillRequests::default(),
    };
    let look_ups = match recorded {
        Recorded::Inserted => unknown(tx, transaction).await?,
        Recorded::Duplicate => LookUps::default(),
    };
    Ok((ReadOutcome::Read(None), FollowUps { backfills, look_ups }))
}

/// The transaction's offer if it is unknown; without an offer, its account.
async fn unknown(
    tx: &mut PgConnection,
    transaction: &FinancingTransaction,
) -> sqlx::Result<LookUps> {
    let mut look_ups = LookUps::default();
    match &transaction.financing_offer {
        Some(offer) if offers::store::find_version(&mut *tx, offer.as_str()).await?.is_none() => {
            look_ups.offer(offer);
        }
        None if !offers::store::knows_account(tx, transaction.account.as_str()).await? => {
            look_ups.account(&transaction.account);
        }
        Some(_) | None => {}
    }
    Ok(look_ups)
}

/// A reversed payout can mean that the financing was canceled
/// (<https://docs.stripe.com/capital/reporting-and-reconciliation>). The event that says so may
/// never arrive, so the offer is read from Stripe.
async fn ask_about_cancellation(
    tx: &mut PgConnection,
    observation: &ObservedTransaction<'_>,
    event_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let transaction = &observation.transaction;
    let movement =
        find(&mut *tx, transaction.account.as_str(), None, transaction.id.as_str()).await?;
    let undone = movement.filter(|movement| movement.effect == "advanced");
    if let Some(offer_id) = undone.and_then(|movement| movement.offer_id) {
        offers::request_refresh(tx, &offer_id, event_id, now).await?;
    }
    Ok(())
}
