//! The arrow from the offers to the letters: an offer that nobody was told of opens one letter and queues its sending, one that is
//! no longer open takes it back, each in the transaction that wrote the offer down.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::flow::email;
use crate::letters;
use crate::letters::{Kind, Opening};
use crate::stripe::{FinancingOffer, OfferId, OfferStatus};

/// Opens the letter, once for an offer.
pub(super) async fn hand_over(
    tx: &mut PgConnection,
    offer: &FinancingOffer,
    message_id_domain: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let opening = Opening {
        offer_id: offer.id.as_str(),
        account_id: offer.account.as_str(),
        sequence: 0,
        kind: Kind::first(offer),
        message_id_domain,
    };
    letters::open(tx, &opening, now).await
}

/// Takes back what has not left.
pub(super) async fn withdraw(
    tx: &mut PgConnection,
    offer: &OfferId,
    status: &OfferStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    email::withdraw(tx, offer.as_str(), status, now).await
}
