//! The kinds of letter: which one opens the talk about an offer, and which ones remind of it.

use std::fmt;
use std::str::FromStr;

use crate::stripe::{FinancingOffer, ProductType};

/// What a letter is for. Each kind has its words in each language, in `templates/emails/<kind>/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// The first word about an offer.
    Offer,
    /// The first word about an offer to an account whose financing still runs.
    Refill,
    /// The first word about an offer to an account that has had a financing before.
    Repeat,
    /// A week later.
    #[strum(serialize = "reminder_7d")]
    Reminder7d,
    /// Two weeks later.
    #[strum(serialize = "reminder_14d")]
    Reminder14d,
    /// Each thirty days after that.
    ReEngagement,
}

impl Kind {
    /// All of them, in the order in which a merchant may get them.
    pub const ALL: [Self; 6] = [
        Self::Offer,
        Self::Refill,
        Self::Repeat,
        Self::Reminder7d,
        Self::Reminder14d,
        Self::ReEngagement,
    ];

    /// The word in `letters.kind`, and the folder of its templates.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The first word about an offer, by what Stripe calls it (<https://docs.stripe.com/capital/refills>).
    pub fn first(offer: &FinancingOffer) -> Self {
        let campaign =
            offer.offered_terms.as_ref().and_then(|terms| terms.campaign_type.as_deref());
        match (&offer.product_type, campaign) {
            (Some(ProductType::Refill), _) => Self::Refill,
            (_, Some("repeat_user")) => Self::Repeat,
            (Some(ProductType::Standard | ProductType::Other(_)) | None, _) => Self::Offer,
        }
    }

    /// The letter at a step of an offer's schedule, counted from the first word, 0.
    pub fn at_step(step: i16, offer: &FinancingOffer) -> Self {
        match step {
            ..=0 => Self::first(offer),
            1 => Self::Reminder7d,
            2 => Self::Reminder14d,
            3.. => Self::ReEngagement,
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == given);
        known.ok_or("one of offer, refill, repeat, reminder_7d, reminder_14d, re_engagement")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
