//! Webhook deliveries: the endpoint, the signature, and one delivery with its retries
//! (<https://docs.stripe.com/webhooks>).

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::Url;

use crate::time::TimeSource;

/// A registered webhook endpoint, and how unreliable the way to it is.
#[derive(Clone, Debug)]
pub struct WebhookEndpoint {
    pub url: Url,
    /// Signing secrets (`whsec_…`): two while one is being rolled.
    pub secrets: Vec<String>,
    /// The pause after the first failed attempt. It doubles with each further one.
    pub first_retry_after: Duration,
    /// Attempts for each copy, the first included.
    pub max_attempts: u32,
    /// How often each event is sent: Stripe promises delivery at least once.
    pub copies: u32,
    /// Each copy is held back for a random part of this time, so that events overtake each other:
    /// Stripe promises no order.
    pub max_delay: Duration,
}

impl WebhookEndpoint {
    /// An endpoint that gets each event once, in order of creation, with Stripe's three retries in
    /// a sandbox (some hours there, some seconds here).
    pub fn new(url: Url, secret: impl Into<String>) -> Self {
        Self {
            url,
            secrets: vec![secret.into()],
            first_retry_after: Duration::from_millis(200),
            max_attempts: 4,
            copies: 1,
            max_delay: Duration::ZERO,
        }
    }
}

/// The `Stripe-Signature` of a body: `t=…`, and a `v1=…` for each secret. The key is the whole
/// secret, `whsec_` included.
pub fn sign(body: &[u8], secrets: &[String], at: chrono::DateTime<chrono::Utc>) -> String {
    let timestamp = at.timestamp();
    let mut header = format!("t={timestamp}");
    for secret in secrets {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .expect("HMAC takes keys of any length");
        let mac = mac.chain_update(format!("{timestamp}.")).chain_update(body);
        header.extend([",v1=", &hex::encode(mac.finalize().into_bytes())]);
    }
    header
}

/// What every delivery needs.
pub(crate) struct Sender {
    pub(crate) http: reqwest::Client,
    pub(crate) time: TimeSource,
    pub(crate) livemode: bool,
}

impl Sender {
    /// Delivers a body, with retries. False if every attempt failed.
    pub(crate) async fn deliver(&self, endpoint: &WebhookEndpoint, body: &[u8]) -> bool {
        if !endpoint.max_delay.is_zero() {
            tokio::time::sleep(endpoint.max_delay.mul_f64(rand::random())).await;
        }
        let mut pause = endpoint.first_retry_after;
        for attempt in 1..=endpoint.max_attempts {
            if self.post(endpoint, body).await {
                return true;
            }
            if attempt < endpoint.max_attempts {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        false
    }

    /// One attempt. Any 2xx is a success; a redirect is not followed.
    async fn post(&self, endpoint: &WebhookEndpoint, body: &[u8]) -> bool {
        // Signed anew for each attempt, so that a late retry passes the receiver's age check.
        let mut signature = sign(body, &endpoint.secrets, self.time.now());
        if !self.livemode {
            // Stripe adds a false signature of another scheme to test events.
            signature.push_str(",v0=");
            signature.push_str(&"0".repeat(64));
        }
        let request = self
            .http
            .post(endpoint.url.clone())
            .header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
            .header("Content-Type", "application/json; charset=utf-8")
            .header("Accept", "*/*; q=0.5, application/xml")
            .header("Cache-Control", "no-cache")
            .header("Stripe-Signature", signature)
            .body(body.to_vec());
        request.send().await.is_ok_and(|response| response.status().is_success())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::sign;

    #[test]
    fn a_body_is_signed_as_stripe_signs_it() {
        let body = b"{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(
            sign(body, &["whsec_test_secret".to_owned()], at),
            "t=1700000000,v1=4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150"
        );
    }
}
