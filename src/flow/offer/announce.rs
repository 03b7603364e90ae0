//! Which offers get an email, and the words for those that get none: one rule, which this stage
//! follows and operators read.

use crate::offers::store::OfferListing;
use crate::offers::{ObservedOffer, Source};
use crate::stripe::OfferStatus;

/// The rule in a sentence, for lists that do not show the offers without an email.
pub const RULE: &str = "Only an offer that is undelivered when it becomes known gets an email; \
    Stripe usually shows replacements and counteroffers to the merchant itself.";

/// Whether the platform must deliver an offer of this status. Stripe creates replacements as
/// `delivered`, because it delivers them itself
/// (<https://docs.stripe.com/capital/replacements>).
fn is_to_be_delivered(status: &OfferStatus) -> bool {
    *status == OfferStatus::Undelivered
}

/// Whether the observation announces an offer that the platform must deliver.
pub(super) fn announces_offer(observation: &ObservedOffer<'_>) -> bool {
    let says_so = match observation.source {
        Source::Listed | Source::Asked => true,
        Source::Event { event_type, .. } => {
            let kind = event_type.trim_start_matches("capital.financing_offer.");
            matches!(kind, "created" | "replacement_created")
        }
    };
    says_so && is_to_be_delivered(&observation.offer.status)
}

/// Why an offer without a letter has none, as sentences.
pub fn why_no_email(offer: &OfferListing) -> String {
    let status = OfferStatus::from(offer.status.clone());
    if is_to_be_delivered(&status) {
        return "No email was opened, although the offer is undelivered: an event about it may \
                wait to be read, or the offer belongs to the other mode of the key."
            .to_owned();
    }
    match &offer.replacement_for_offer_id {
        Some(replaced) => format!(
            "No email: this offer replaced {replaced}, and Stripe usually shows a replacement to \
             the merchant itself. It was no longer undelivered when it became known here."
        ),
        None => {
            "No email: the offer was no longer undelivered when it became known here.".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn offer(status: &str, replaced: Option<&str>) -> OfferListing {
        OfferListing {
            offer_id: "financingoffer_2".to_owned(),
            account_id: "acct_1".to_owned(),
            status: status.to_owned(),
            livemode: false,
            currency: None,
            advance_minor: None,
            fee_minor: None,
            created_at: DateTime::UNIX_EPOCH,
            expires_at: None,
            replacement_for_offer_id: replaced.map(str::to_owned),
        }
    }

    #[test]
    fn a_replacement_says_that_stripe_shows_it_unless_it_is_ours_to_deliver() {
        let delivered = why_no_email(&offer("delivered", Some("financingoffer_1")));
        assert!(delivered.contains("replaced financingoffer_1"), "{delivered}");
        let ours = why_no_email(&offer("undelivered", Some("financingoffer_1")));
        assert!(ours.contains("although the offer is undelivered"), "{ours}");
        let adopted = why_no_email(&offer("paid_out", None));
        assert!(adopted.ends_with("when it became known here."), "{adopted}");
    }
}
