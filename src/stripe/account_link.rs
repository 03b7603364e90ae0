//! Account Links: short-lived, single-use URLs that let a merchant into pages hosted by Stripe
//! (<https://docs.stripe.com/api/account_links>).
//!
//! Anyone who has the URL gets in, so a link is created on demand, passed on, and neither stored
//! nor logged.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use url::Url;

use super::deserialize::maybe_seconds;

/// The page that a link opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub enum LinkTo {
    /// The application for the open offer.
    #[strum(serialize = "capital_financing_offer")]
    Application,
    /// The status of an application, or the reports of a financing.
    #[strum(serialize = "capital_financing_reporting")]
    Reporting,
}

impl LinkTo {
    /// Stripe's value of `type`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A new link. `Debug` omits the URL.
#[derive(Clone, Deserialize)]
pub struct AccountLink {
    /// A secret until it expires.
    pub url: Url,
    #[serde(default, deserialize_with = "maybe_seconds")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for AccountLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_omits_the_url() {
        let link: AccountLink = serde_json::from_value(serde_json::json!({
            "object": "account_link", "created": 1, "expires_at": 301,
            "url": "https://connect.stripe.com/capital/secret",
        }))
        .unwrap();
        assert!(!format!("{link:?}").contains("secret"));
        assert_eq!(link.expires_at.unwrap().timestamp(), 301);
    }
}
