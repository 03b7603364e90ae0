//! Webhook endpoints of the platform (<https://docs.stripe.com/api/webhook_endpoints>).

use std::fmt;

use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::client::paged;
use super::list::List;
use super::{ApiResponse, Client, Error};

/// Every event type of Capital (<https://docs.stripe.com/capital/api-integration>).
pub const CAPITAL_EVENTS: [&str; 11] = [
    "capital.financing_offer.accepted",
    "capital.financing_offer.accepted_other_offer",
    "capital.financing_offer.canceled",
    "capital.financing_offer.created",
    "capital.financing_offer.expired",
    "capital.financing_offer.fully_repaid",
    "capital.financing_offer.paid_out",
    "capital.financing_offer.rejected",
    "capital.financing_offer.replacement_created",
    "capital.financing_summary.line_of_credit_update",
    "capital.financing_transaction.created",
];

/// An endpoint as Stripe lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct WebhookEndpoint {
    /// `we_…`
    pub id: String,
    #[serde(default)]
    pub url: String,
    /// `enabled` or `disabled`.
    #[serde(default)]
    status: String,
    /// `*` stands for all types except those that require explicit selection.
    #[serde(default)]
    pub enabled_events: Vec<String>,
    /// The version that its events are rendered at; `None` for the account's default.
    pub api_version: Option<String>,
    /// Set for an endpoint that gets the events of connected accounts.
    application: Option<String>,
}

/// A new endpoint. Stripe shows the secret this once. `Debug` omits it.
#[derive(Clone)]
pub struct CreatedEndpoint {
    pub endpoint: WebhookEndpoint,
    pub secret: SecretString,
}

impl fmt::Debug for CreatedEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedEndpoint").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl WebhookEndpoint {
    pub fn is_enabled(&self) -> bool {
        self.status == "enabled"
    }

    /// Whether it gets the events of connected accounts, which Capital's are not.
    pub fn is_connect(&self) -> bool {
        self.application.is_some()
    }

    pub fn has_url(&self, url: &Url) -> bool {
        Url::parse(&self.url).is_ok_and(|of| of == *url)
    }

    /// Capital's event types that the endpoint does not name.
    pub fn missing_events(&self) -> Vec<&'static str> {
        let is_named = |event: &&str| self.enabled_events.iter().any(|named| named == event);
        CAPITAL_EVENTS.into_iter().filter(|event| !is_named(event)).collect()
    }
}

impl Client {
    /// All endpoints of the key's mode, newest first.
    pub async fn webhook_endpoints(&self) -> Result<Vec<WebhookEndpoint>, Error> {
        let mut all: Vec<WebhookEndpoint> = Vec::new();
        loop {
            let after = all.last().map(|endpoint| endpoint.id.clone());
            let request = paged(self.request(Method::GET, ENDPOINTS), after.as_deref());
            let page: ApiResponse<List<WebhookEndpoint>> = self.send(NAME, request).await?;
            let List { data, has_more } = page.object;
            let is_last = data.is_empty() || !has_more;
            all.extend(data);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Creates a platform endpoint for Capital's events. Its events are rendered at
    /// `stripe.api_version`, or at the account's default version.
    pub async fn create_webhook_endpoint(&self, url: &Url) -> Result<CreatedEndpoint, Error> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(flatten)]
            endpoint: WebhookEndpoint,
            secret: String,
        }
        let mut form = vec![
            ("url", url.as_str()),
            ("description", "capital-courier"),
            // The default, but a Connect endpoint gets none of Capital's events.
            ("connect", "false"),
        ];
        form.extend(CAPITAL_EVENTS.map(|event| ("enabled_events[]", event)));
        form.extend(self.api_version().map(|version| ("api_version", version)));
        let request = self.request(Method::POST, ENDPOINTS).form(&form);
        let Created { endpoint, secret } = self.send::<Created>(NAME, request).await?.object;
        Ok(CreatedEndpoint { endpoint, secret: secret.into() })
    }

    /// Enables an endpoint, and sets its event types. Stripe changes no other field that decides
    /// which events arrive.
    pub async fn update_webhook_endpoint(
        &self,
        id: &str,
        events: &[String],
    ) -> Result<WebhookEndpoint, Error> {
        let mut form = vec![("disabled", "false")];
        form.extend(events.iter().map(|event| ("enabled_events[]", event.as_str())));
        let request = self.request(Method::POST, &format!("{ENDPOINTS}/{id}")).form(&form);
        Ok(self.send(NAME, request).await?.object)
    }
}

const ENDPOINTS: &str = "/v1/webhook_endpoints";
/// For the rate limit of this endpoint of Stripe's.
const NAME: &str = "webhook_endpoints";
