//! The kinds of letter: the first letter about an offer, and its reminders.

use std::str::FromStr;

use crate::stripe::{FinancingOffer, ProductType};

/// The purpose of a letter. Each kind has templates per language in `templates/emails/<kind>/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// The first letter about an offer.
    Offer,
    /// The first letter, to an account that had offers before and accepted none.
    PreviouslyEligible,
    /// The first letter, to an account whose financing is still running.
    Refill,
    /// The first letter, to an account that had a financing before.
    Repeat,
    /// Seven days after the first letter.
    #[strum(serialize = "reminder_7d")]
    Reminder7d,
    /// Fourteen days after the first letter.
    #[strum(serialize = "reminder_14d")]
    Reminder14d,
    /// Every thirty days after that.
    ReEngagement,
}

impl Kind {
    /// In the order in which a merchant may receive them.
    pub const ALL: [Self; 7] = [
        Self::Offer,
        Self::PreviouslyEligible,
        Self::Refill,
        Self::Repeat,
        Self::Reminder7d,
        Self::Reminder14d,
        Self::ReEngagement,
    ];

    /// As in `letters.kind` and in the template folder.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub fn is_reminder(self) -> bool {
        match self {
            Self::Offer | Self::PreviouslyEligible | Self::Refill | Self::Repeat => false,
            Self::Reminder7d | Self::Reminder14d | Self::ReEngagement => true,
        }
    }

    /// The kind of first letter, from Stripe's product and campaign types
    /// (<https://docs.stripe.com/capital/refills>).
    pub fn first(offer: &FinancingOffer) -> Self {
        let campaign =
            offer.offered_terms.as_ref().and_then(|terms| terms.campaign_type.as_deref());
        match (&offer.product_type, campaign) {
            (Some(ProductType::Refill), _) => Self::Refill,
            (_, Some("repeat_user")) => Self::Repeat,
            (_, Some("previously_eligible_user")) => Self::PreviouslyEligible,
            (Some(ProductType::Standard | ProductType::Other(_)) | None, _) => Self::Offer,
        }
    }

    /// The kind of reminder at a position of the offer's sequence; 1 is the first reminder.
    pub fn reminder(sequence: i16) -> Self {
        match sequence {
            ..=1 => Self::Reminder7d,
            2 => Self::Reminder14d,
            3.. => Self::ReEngagement,
        }
    }

    /// The kind at a position of the offer's sequence; 0 is the first letter.
    pub fn at_step(sequence: i16, offer: &FinancingOffer) -> Self {
        if sequence <= 0 { Self::first(offer) } else { Self::reminder(sequence) }
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == given);
        known.ok_or(
            "one of offer, previously_eligible, refill, repeat, reminder_7d, reminder_14d, \
             re_engagement",
        )
    }
}
