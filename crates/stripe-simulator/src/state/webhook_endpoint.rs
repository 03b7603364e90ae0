//! Webhook endpoints that a client registered (<https://docs.stripe.com/api/webhook_endpoints>).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::State;
use crate::webhook::WebhookEndpoint;

/// An endpoint, and the secret that only its creation shows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisteredEndpoint {
    pub(crate) object: Value,
    pub(crate) secret: String,
}

impl RegisteredEndpoint {
    /// Capital's events belong to the platform, so a Connect endpoint gets none of them.
    fn gets(&self, event_type: &str) -> bool {
        let types = self.object["enabled_events"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Thin events are sent to destinations of API v2, which `*` does not make.
        let is_named =
            |named: &Value| named == event_type || (named == "*" && !event_type.starts_with("v2."));
        self.object["status"] == "enabled"
            && self.object["application"].is_null()
            && types.iter().any(is_named)
    }

    fn receiver(&self) -> Option<WebhookEndpoint> {
        let url = self.object["url"].as_str().and_then(|url| Url::parse(url).ok())?;
        Some(WebhookEndpoint::new(url, self.secret.clone()))
    }
}

impl State {
    /// Registers an endpoint, and returns it with its secret.
    pub(crate) fn add_webhook_endpoint(&mut self, mut object: Value) -> Value {
        object["id"] = json!(self.new_id("we_"));
        let secret = format!("whsec_{}", hex::encode(rand::random::<[u8; 16]>()));
        let mut created = object.clone();
        created["secret"] = json!(secret);
        self.webhook_endpoints.push(RegisteredEndpoint { object, secret });
        created
    }

    /// Where an event of this type is sent.
    pub(crate) fn receivers(&self, event_type: &str) -> Vec<WebhookEndpoint> {
        let registered = self.webhook_endpoints.iter().filter(|one| one.gets(event_type));
        self.endpoint
            .clone()
            .into_iter()
            .chain(registered.filter_map(RegisteredEndpoint::receiver))
            .collect()
    }
}
