//! Account Links (<https://docs.stripe.com/api/account_links>): a merchant's way into what Stripe shows. A link opens once, for some
//! minutes, and lets in whoever has it: it is made when somebody asks, handed on, and neither kept nor logged.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use url::Url;

use super::deserialize::maybe_seconds;

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub enum LinkTo {
    /// The application for the offer that is open.
    #[strum(serialize = "capital_financing_offer")]
    Application,
    /// The tracker of an application, the state of a financing, or its history.
    #[strum(serialize = "capital_financing_reporting")]
    Reporting,
}

impl LinkTo {
    /// Stripe's word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A fresh link. Prints without its address.
#[derive(Clone, Deserialize)]
pub struct AccountLink {
    /// Where it leads. A secret for as long as it works.
    pub url: Url,
    /// Until when it works.
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
    fn a_link_prints_without_its_address() {
        let link: AccountLink = serde_json::from_value(serde_json::json!({
            "object": "account_link", "created": 1, "expires_at": 301, "url": "https://connect.stripe.com/capital/secret",
        }))
        .unwrap();
        assert!(!format!("{link:?}").contains("secret"));
        assert_eq!(link.expires_at.unwrap().timestamp(), 301);
    }
}
