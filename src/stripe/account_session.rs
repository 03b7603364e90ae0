//! Account Sessions: what Connect.js needs to show Stripe's components in a platform's own pages
//! (<https://docs.stripe.com/api/account_sessions>).

use std::fmt;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::Deserialize;

use super::deserialize::maybe_seconds;
use super::{AccountId, Client, Error};

/// A component of Capital
/// (<https://docs.stripe.com/capital/embedded-component-integration>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Component {
    /// The progress of a financing, its transactions, payments.
    CapitalFinancing,
    CapitalFinancingApplication,
    /// The offer, as a banner or a tile.
    CapitalFinancingPromotion,
}

/// A new session. `Debug` omits the secret.
#[derive(Clone, Deserialize)]
pub struct AccountSession {
    /// Admits its holder to the account's components.
    pub client_secret: String,
    #[serde(default, deserialize_with = "maybe_seconds")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for AccountSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountSession")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Creates a session; each call creates another one. Uses an API version of its own, because
    /// the components are in preview.
    pub async fn account_session(
        &self,
        account: &AccountId,
        components: &[Component],
    ) -> Result<AccountSession, Error> {
        let mut form = vec![("account".to_owned(), account.as_str())];
        form.extend(components.iter().map(|component| {
            let name: &str = component.into();
            (format!("components[{name}][enabled]"), "true")
        }));
        let request =
            self.request_as_of(self.embedded_version(), Method::POST, "/v1/account_sessions");
        // Return the session without the response: its body contains the secret.
        Ok(self.send::<AccountSession>("account_sessions", request.form(&form)).await?.object)
    }
}
