//! The arrow from the offers to the letters: a new offer opens one letter and queues its sending,
//! and an offer that is no longer open withdraws it. Both are part of the transaction that writes
//! the offer.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::flow::email;
use crate::letters::{self, Kind, NewLetter};
use crate::stripe::{FinancingOffer, OfferId, OfferStatus};

/// Opens the offer's first letter unless it has one.
pub(super) async fn hand_over(
    tx: &mut PgConnection,
    offer: &FinancingOffer,
    letters: &letters::Opener,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let new_letter = NewLetter {
        offer_id: offer.id.as_str(),
        account_id: offer.account.as_str(),
        sequence: 0,
        kind: Kind::first(offer),
    };
    letters.open(tx, &new_letter, now).await
}

pub(super) async fn withdraw(
    tx: &mut PgConnection,
    offer: &OfferId,
    status: &OfferStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    email::withdraw(tx, offer.as_str(), status, now).await
}
