//! Webhook deliveries: the endpoint, the signature, and one delivery with its retries
//! (<https://docs.stripe.com/webhooks>).

use std::fmt;
use std::time::{Duration, Instant};

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

/// What an endpoint answered to one attempt.
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) number: u32,
    /// The status, or why there is none.
    outcome: Result<u16, &'static str>,
    took: Duration,
    retries_after: Option<Duration>,
}

impl Attempt {
    /// Any 2xx.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self.outcome, Ok(200..300))
    }
}

/// `200 in 3 ms`.
impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Ok(status) => write!(formatter, "{status} in {} ms", self.took.as_millis())?,
            Err(why) => formatter.write_str(why)?,
        }
        if self.number > 1 {
            write!(formatter, ", attempt {}", self.number)?;
        }
        match self.retries_after {
            Some(pause) => write!(formatter, "; next attempt in {:.1} s", pause.as_secs_f64()),
            None if self.is_success() => Ok(()),
            None => formatter.write_str("; no attempt is left"),
        }
    }
}

/// What every delivery needs.
pub(crate) struct Sender {
    pub(crate) http: reqwest::Client,
    pub(crate) time: TimeSource,
    pub(crate) livemode: bool,
}

impl Sender {
    /// Delivers a body, with retries. False if every attempt failed.
    pub(crate) async fn deliver(
        &self,
        endpoint: &WebhookEndpoint,
        body: &[u8],
        report: impl Fn(&Attempt),
    ) -> bool {
        if !endpoint.max_delay.is_zero() {
            tokio::time::sleep(endpoint.max_delay.mul_f64(rand::random())).await;
        }
        let mut pause = endpoint.first_retry_after;
        for number in 1..=endpoint.max_attempts {
            let started = Instant::now();
            let outcome = self.post(endpoint, body).await;
            let mut attempt =
                Attempt { number, outcome, took: started.elapsed(), retries_after: None };
            if !attempt.is_success() && number < endpoint.max_attempts {
                attempt.retries_after = Some(pause);
            }
            report(&attempt);
            if attempt.retries_after.is_none() {
                return attempt.is_success();
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        false
    }

    /// One attempt: the status of the response. A redirect is not followed.
    async fn post(&self, endpoint: &WebhookEndpoint, body: &[u8]) -> Result<u16, &'static str> {
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
        match request.send().await {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) if error.is_timeout() => Err("no answer in time"),
            Err(error) if error.is_connect() => Err("no connection"),
            Err(_) => Err("the connection was lost"),
        }
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
