//! Counts a merchant's first view of an undelivered offer as its delivery, if
//! `portal.marks_delivered` is set.

use super::phase::Card;
use crate::database::with_timeout;
use crate::flow::delivered::{self, DeliveryReport, Reported};
use crate::letters::deliveries;
use crate::stripe::{AccountId, OfferId};
use crate::web::portal::Portal;

/// The channel in the evidence.
const CHANNEL: &str = "capital_section";

impl Portal {
    /// Reports the delivery of the undelivered offers among the cards that the merchant was shown.
    /// Never fails: the page is complete, and the next view reports again.
    pub(super) async fn report_view(&self, account: &AccountId, shown: &[Card]) {
        if !self.settings.marks_delivered {
            return;
        }
        // An offer without terms was mentioned, not shown.
        for card in shown.iter().filter(|card| card.is_undelivered() && card.terms.is_some()) {
            let Ok(offer) = card.offer.offer_id.parse::<OfferId>() else { continue };
            match with_timeout(self.report_first_view(account, &offer)).await {
                Ok(false) => {}
                Ok(true) => {
                    // The job that tells Stripe is due now.
                    self.finder.jobs.notify();
                    tracing::info!(
                        account.id = %account,
                        offer.id = %offer,
                        "the merchant saw the offer in the Capital section"
                    );
                }
                Err(error) => {
                    self.db.health().report(&error, "cannot record the view of an offer");
                }
            }
        }
    }

    /// False if the offer has ended since, or if its delivery was requested before, by a letter or
    /// an earlier view.
    async fn report_first_view(&self, account: &AccountId, offer: &OfferId) -> sqlx::Result<bool> {
        if deliveries::find(&self.db, offer.as_str()).await?.is_some() {
            return Ok(false);
        }
        let now = self.clock.now();
        let report = DeliveryReport {
            offer,
            account,
            channel: CHANNEL,
            told_at: now,
            reference: None,
            reported_by: "portal",
        };
        let mut tx = self.db.begin().await?;
        let reported = delivered::report(&mut tx, &report, now).await?;
        tx.commit().await?;
        Ok(reported == Reported::Accepted)
    }
}
