//! Counts a merchant's first view of an undelivered offer as its delivery: of any offer if
//! `portal.marks_delivered` is set, else of one whose email will never leave, because the account
//! opted out. An opt-out is from emails, not from the offers.

use super::phase::Card;
use crate::database::with_timeout;
use crate::flow::delivered::{self, DeliveryReport, Reported};
use crate::letters::deliveries;
use crate::letters::store::{State, find_unsent, first_letter_state};
use crate::stripe::{AccountId, OfferId};
use crate::web::portal::Portal;

/// The channel in the evidence.
const CHANNEL: &str = "capital_section";

impl Portal {
    /// Reports the delivery of the undelivered offers among the cards that the merchant was shown.
    /// Never fails: the page is complete, and the next view reports again.
    pub(super) async fn report_view(&self, account: &AccountId, shown: &[Card]) {
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

    /// False if a view is no delivery, if the offer has ended since, or if its delivery was
    /// requested before, by a letter or an earlier view.
    async fn report_first_view(&self, account: &AccountId, offer: &OfferId) -> sqlx::Result<bool> {
        let is_delivery = self.settings.marks_delivered || self.is_without_email(offer).await?;
        if !is_delivery || deliveries::find(&self.db, offer.as_str()).await?.is_some() {
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

    /// Whether no email about the offer will leave. Only an opt-out is final: a held or rejected
    /// email waits for an operator, who may still send it.
    async fn is_without_email(&self, offer: &OfferId) -> sqlx::Result<bool> {
        let first = first_letter_state(&self.db, offer.as_str()).await?;
        // An operator's resend may wait after the opt-out has ended.
        Ok(first == Some(State::Suppressed)
            && find_unsent(&self.db, &[offer.to_string()]).await?.is_empty())
    }
}
