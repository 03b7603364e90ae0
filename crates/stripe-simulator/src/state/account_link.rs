//! Account Links (<https://docs.stripe.com/api/account_links>): a link opens once, within five
//! minutes.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::offer::{Offers, is_past_expiry};

/// As in Stripe's examples.
pub(crate) const LIFETIME: TimeDelta = TimeDelta::seconds(300);

pub(crate) struct AccountLink {
    pub(crate) account: String,
    pub(crate) kind: LinkType,
    pub(crate) refresh_url: String,
    pub(crate) return_url: String,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) is_opened: bool,
}

/// The two types that Capital adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkType {
    Application,
    Reporting,
}

impl LinkType {
    /// The newest offer of the account that a link of this type can be about. An application needs
    /// an offer that the merchant was told about: an undelivered one cannot be applied for.
    pub(crate) fn offer<'a>(
        self,
        offers: &'a Offers,
        account: &'a str,
        now: DateTime<Utc>,
    ) -> Option<&'a Value> {
        offers.of_account(account).find(|offer| match self {
            Self::Application => offer["status"] == "delivered" && !is_past_expiry(offer, now),
            Self::Reporting => matches!(
                offer["status"].as_str(),
                Some("accepted" | "paid_out" | "fully_repaid" | "canceled" | "rejected")
            ),
        })
    }
}
