//! The calls that we make to Stripe. Each is one HTTP request: trying again is the queue's business.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::pace::Pace;
use super::{Account, AccountId, Error, FinancingOffer, OfferId, Person};

/// What a client needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Secret or restricted key of the platform.
    pub api_key: SecretString,
    /// `https://api.stripe.com`, or a stand-in for it.
    pub api_base: Url,
    /// `Stripe-Version` on every call; empty: the account's own.
    pub api_version: String,
    /// Calls that this process may start each second.
    pub requests_per_second: u32,
    /// From the first byte sent to the last byte read.
    pub timeout: Duration,
}

/// Speaks to Stripe with the platform's key. Clones share connections and the pace.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    settings: std::sync::Arc<Settings>,
    pace: std::sync::Arc<Pace>,
}

/// An object and the answer that brought it, for the record.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// What the answer says.
    pub object: T,
    /// The body as JSON.
    pub body: serde_json::Value,
    /// The HTTP status.
    pub status: u16,
    /// `Request-Id`.
    pub request_id: Option<String>,
}

/// Bodies of accounts are some 10 KB; anything near this is not an answer.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

impl Client {
    /// Makes the client; opens no connection yet.
    pub fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        // More than one crate brings rustls along. Whichever is first decides, and all of ours decide alike.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("capital-courier/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(5)))
            // Stripe's API does not redirect; a redirect would carry the key to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let pace = Pace::new(settings.requests_per_second).into();
        Ok(Self { http, settings: settings.into(), pace })
    }

    /// True where the key is for live data, false for test data, none where its prefix does not say.
    pub fn livemode(&self) -> Option<bool> {
        livemode_of_key(self.settings.api_key.expose_secret())
    }

    /// Fetches one offer as it is now.
    pub async fn offer(&self, id: &OfferId) -> Result<Answered<FinancingOffer>, Error> {
        self.get(&format!("/v1/capital/financing_offers/{id}"), &[]).await
    }

    /// Asks for one offer, any: shows that the key works and may see offers.
    pub async fn probe(&self) -> Result<(), Error> {
        self.get::<List<serde_json::Value>>("/v1/capital/financing_offers", &[("limit", "1")]).await.map(drop)
    }

    /// Fetches one connected account.
    pub async fn account(&self, id: &AccountId) -> Result<Account, Error> {
        Ok(self.get(&format!("/v1/accounts/{id}"), &[]).await?.object)
    }

    /// Fetches the person who owns the account, where Stripe shows one.
    pub async fn owner(&self, id: &AccountId) -> Result<Option<Person>, Error> {
        let query = [("relationship[owner]", "true"), ("limit", "1")];
        let people: Answered<List<Person>> = self.get(&format!("/v1/accounts/{id}/persons"), &query).await?;
        Ok(people.object.data.into_iter().next())
    }

    /// Tells Stripe that the merchant was shown the offer. With the same `idempotency_key` Stripe does it once and
    /// answers the same for a day (<https://docs.stripe.com/api/idempotent_requests>).
    pub async fn mark_delivered(
        &self,
        id: &OfferId,
        idempotency_key: &str,
    ) -> Result<Answered<FinancingOffer>, Error> {
        let path = format!("/v1/capital/financing_offers/{id}/mark_delivered");
        // The call has no parameters, but Stripe's own clients send the form's content type all the same, and
        // stripe-mock refuses a POST without it.
        let form: [(&str, &str); 0] = [];
        let request =
            self.request(Method::POST, &path).header("Idempotency-Key", idempotency_key).form(&form);
        self.send(request).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answered<T>, Error> {
        self.send(self.request(Method::GET, path).query(query)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.settings.api_base.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        let request = self.http.request(method, url).bearer_auth(self.settings.api_key.expose_secret());
        if self.settings.api_version.is_empty() {
            request
        } else {
            request.header("Stripe-Version", &self.settings.api_version)
        }
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answered<T>, Error> {
        self.pace.turn().await;
        let mut response = request.send().await.map_err(|error| Error::NoAnswer(error.without_url()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut bytes = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| Error::NoAnswer(error.without_url()))?
        {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER_BYTES {
                break;
            }
        }
        if status.is_success() {
            read(status, &headers, &bytes)
        } else {
            Err(refusal(status, &headers, &bytes))
        }
    }
}

/// A page of a list. We ask for one entry at most, so the other fields are of no use yet.
#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

fn read<T: DeserializeOwned>(
    status: StatusCode,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Answered<T>, Error> {
    let request_id = text(headers, "request-id");
    let parsed = serde_json::from_slice::<serde_json::Value>(bytes)
        .and_then(|body| T::deserialize(&body).map(|object| (object, body)));
    match parsed {
        Ok((object, body)) => Ok(Answered { object, body, status: status.as_u16(), request_id }),
        Err(source) => Err(Error::Unreadable { request_id, source }),
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap, bytes: &[u8]) -> Error {
    let body: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let word = |name: &str| body.as_ref()?.pointer(name)?.as_str().map(str::to_owned);
    Error::Refused {
        status: status.as_u16(),
        code: word("/error/code").or_else(|| word("/error/type")),
        request_id: text(headers, "request-id"),
        retry_after: text(headers, "retry-after")
            .and_then(|after| after.parse().ok())
            .map(Duration::from_secs),
        should_retry: text(headers, "stripe-should-retry").and_then(|should| should.parse().ok()),
        body,
    }
}

fn text(headers: &HeaderMap, name: &'static str) -> Option<String> {
    headers.get(HeaderName::from_static(name))?.to_str().ok().map(str::to_owned)
}

/// Stripe writes the mode into the key (<https://docs.stripe.com/keys>).
pub(crate) fn livemode_of_key(key: &str) -> Option<bool> {
    let mode = key.strip_prefix("sk_").or_else(|| key.strip_prefix("rk_"))?;
    match mode.split_once('_')?.0 {
        "live" => Some(true),
        "test" => Some(false),
        _ => None,
    }
}
