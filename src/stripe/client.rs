//! The calls that we make to Stripe. Each is one HTTP request: trying again is the queue's business.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use url::Url;

use super::list::{self, List};
use super::rate_limit::RateLimit;
use super::{Account, AccountId, AccountLink, Error, FinancingOffer, LinkTo, OfferId, Person};
use crate::clock::Clock;
use crate::http;
use crate::queue::{Circuit, Next, Retryable};

/// What a client needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Secret or restricted key of the platform.
    pub api_key: SecretString,
    /// `https://api.stripe.com`, or a stand-in for it.
    pub api_base: Url,
    /// `Stripe-Version` on every call; empty: the account's own.
    pub api_version: String,
    /// Calls that all processes together may start each second, to all endpoints and to each.
    pub requests_per_second: u32,
    /// From the first byte sent to the last byte read.
    pub timeout: Duration,
}

/// Speaks to Stripe with the platform's key. Clones share connections and the pace.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    settings: std::sync::Arc<Settings>,
    pace: std::sync::Arc<RateLimit>,
    circuit: Circuit,
    clock: Clock,
    /// How long each call may take, where that is less than the settings say.
    patience: Option<Duration>,
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
    /// Stripe's time of the answer, by its clock: what its events are to be compared with.
    pub at: Option<DateTime<Utc>>,
}

/// Nobody sensible asks for more, and a slip of Stripe's must not put a letter off for a day.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);
/// Stripe mostly answers within a second; whoever looks at a page does not wait for much longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bodies of accounts are some 10 KB; anything near this is not an answer.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

impl Client {
    /// Makes the client; opens no connection yet.
    pub fn new(settings: Settings, circuit: Circuit, clock: Clock) -> Result<Self, reqwest::Error> {
        let http = http::client::builder(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(5)))
            .build()?;
        let pace = RateLimit::new(settings.requests_per_second).into();
        Ok(Self { http, settings: settings.into(), pace, circuit, clock, patience: None })
    }

    /// True where the key is for live data, false for test data, none where its prefix does not say.
    pub fn livemode(&self) -> Option<bool> {
        livemode_of_key(self.settings.api_key.expose_secret())
    }

    /// The same for calls that a person waits for: given up sooner than those of a job, which can be tried again.
    #[must_use]
    pub fn interactive(&self) -> Self {
        Self { patience: Some(self.settings.timeout.min(PATIENCE)), ..self.clone() }
    }

    /// Whether Stripe is taken to be down.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Takes its part of Stripe's rate limit where so many processes share it.
    pub fn share_with(&self, processes: u32) {
        self.pace.share_with(processes);
    }

    /// Fetches one offer as it is now.
    pub async fn offer(&self, id: &OfferId) -> Result<Answered<FinancingOffer>, Error> {
        self.get("offer", &format!("/v1/capital/financing_offers/{id}"), &[]).await
    }

    /// Offers that nobody was told of and that are newer than this one, the next hundred at most. What cannot be read as an
    /// offer is left out.
    pub(super) async fn undelivered_after(
        &self,
        id: &OfferId,
    ) -> Result<Vec<Answered<FinancingOffer>>, Error> {
        let query = [("status", "undelivered"), ("limit", "100"), ("ending_before", id.as_str())];
        let page: Answered<List<serde_json::Value>> =
            self.get("offers", "/v1/capital/financing_offers", &query).await?;
        let (status, request_id, at) = (page.status, page.request_id, page.at);
        let read = |body: serde_json::Value| {
            let object = FinancingOffer::deserialize(&body).ok()?;
            Some(Answered { object, body, status, request_id: request_id.clone(), at })
        };
        Ok(page.object.data.into_iter().filter_map(read).collect())
    }

    /// A page of the offers that nobody was told of, newest first (<https://docs.stripe.com/api/pagination>).
    pub async fn undelivered_offers(&self, after: Option<&str>) -> Result<list::Page, Error> {
        let mut query = vec![("status", "undelivered"), ("limit", "100")];
        query.extend(after.map(|id| ("starting_after", id)));
        self.page("offers", "/v1/capital/financing_offers", &query).await
    }

    /// A page of Capital's events that no endpoint answered 2xx to, newest first. Stripe keeps them for 30 days
    /// (<https://docs.stripe.com/webhooks/process-undelivered-events>).
    pub async fn undelivered_events(&self, after: Option<&str>) -> Result<list::Page, Error> {
        let mut query =
            vec![("delivery_success", "false"), ("type", "capital.*"), ("limit", "100")];
        query.extend(after.map(|id| ("starting_after", id)));
        self.page("events", "/v1/events", &query).await
    }

    /// Makes a link for an account: another one at each call.
    pub async fn account_link(
        &self,
        account: &AccountId,
        to: LinkTo,
        refresh_url: &Url,
        return_url: &Url,
    ) -> Result<AccountLink, Error> {
        let form = [
            ("account", account.as_str()),
            ("type", to.as_str()),
            ("refresh_url", refresh_url.as_str()),
            ("return_url", return_url.as_str()),
        ];
        let request = self.request(Method::POST, "/v1/account_links").form(&form);
        // The body is a secret: only the link itself is taken from the answer.
        Ok(self.send::<AccountLink>("account_links", request).await?.object)
    }

    /// Asks for one offer, any: shows that the key works and may see offers. Returns Stripe's time of the
    /// answer.
    pub async fn probe(&self) -> Result<Option<DateTime<Utc>>, Error> {
        Ok(self.page("offers", "/v1/capital/financing_offers", &[("limit", "1")]).await?.at)
    }

    /// Fetches one connected account.
    pub async fn account(&self, id: &AccountId) -> Result<Account, Error> {
        Ok(self.get("account", &format!("/v1/accounts/{id}"), &[]).await?.object)
    }

    /// Fetches the person who owns the account, where Stripe shows one.
    pub async fn owner(&self, id: &AccountId) -> Result<Option<Person>, Error> {
        let query = [("relationship[owner]", "true"), ("limit", "1")];
        let people: Answered<List<Person>> =
            self.get("persons", &format!("/v1/accounts/{id}/persons"), &query).await?;
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
        let request = self
            .request(Method::POST, &path)
            .header("Idempotency-Key", idempotency_key)
            .form(&form);
        self.send("mark_delivered", request).await
    }

    async fn page(
        &self,
        endpoint: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<list::Page, Error> {
        let answered: Answered<List<Box<RawValue>>> = self.get(endpoint, path, query).await?;
        Ok(list::Page {
            entries: answered.object.data,
            has_more: answered.object.has_more,
            at: answered.at,
        })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answered<T>, Error> {
        self.send(endpoint, self.request(Method::GET, path).query(query)).await
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.settings.api_base.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        let mut request =
            self.http.request(method, url).bearer_auth(self.settings.api_key.expose_secret());
        if let Some(patience) = self.patience {
            request = request.timeout(patience);
        }
        if self.settings.api_version.is_empty() {
            request
        } else {
            request.header("Stripe-Version", &self.settings.api_version)
        }
    }

    /// One call: its turn, the answer, and what the answer says about Stripe itself.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        request: RequestBuilder,
    ) -> Result<Answered<T>, Error> {
        self.pace.turn(endpoint).await.map_err(Error::NotYet)?;
        let sent = self.clock.elapsed();
        let outcome = match Answer::receive(request).await {
            Ok(answer) => {
                let date = answer.date();
                let read = answer.read();
                // The date of an answer that was made on the way proves nothing, and what cannot be
                // read may have been.
                if let (Some(at), Ok(_) | Err(Error::Refused { .. })) = (date, &read) {
                    self.clock.compare(at, sent);
                }
                read
            }
            Err(error) => Err(error),
        };
        self.note(endpoint, outcome.as_ref().err());
        outcome
    }

    /// What a call says about Stripe: whether it is there, and how much it takes.
    fn note(&self, endpoint: &'static str, error: Option<&Error>) {
        match error {
            None => {
                self.circuit.succeeded();
                self.pace.went_through(endpoint);
            }
            Some(error) if error.is_wrong_key() => self.circuit.failed_for_all(),
            Some(error) if error.is_outage() => self.circuit.failed(),
            Some(error) => {
                self.circuit.succeeded();
                if let (Some(limit), Next::Postpone(pause)) = (error.limit(), error.next()) {
                    tracing::warn!(stripe.endpoint = endpoint, limit = ?limit, pause.seconds = pause.as_secs(),
                        "Stripe's rate limit: slowing down");
                    self.pace.slow_down(endpoint, limit, pause);
                }
            }
        }
    }
}

/// An answer of Stripe itself.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
    body: serde_json::Value,
}

impl Answer {
    /// Makes the request. Only an answer in Stripe's shape is taken for Stripe's.
    async fn receive(request: RequestBuilder) -> Result<Self, Error> {
        let no_answer = |error: reqwest::Error| Error::NoAnswer(error.without_url());
        let mut response = request.send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER_BYTES {
                break;
            }
        }
        match serde_json::from_slice(&bytes) {
            Ok(body) if has_stripes_shape(status, &body) => {
                Ok(Self { status, headers, bytes, body })
            }
            Ok(_) | Err(_) => Err(Error::NotStripe { status: status.as_u16() }),
        }
    }

    /// Stripe's time of the answer.
    fn date(&self) -> Option<DateTime<Utc>> {
        let date = text(&self.headers, "date")?;
        Some(DateTime::parse_from_rfc2822(&date).ok()?.to_utc())
    }

    fn read<T: DeserializeOwned>(self) -> Result<Answered<T>, Error> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        let (request_id, at) = (text(&self.headers, "request-id"), self.date());
        // From the bytes once more: lists keep each entry's own.
        match serde_json::from_slice::<T>(&self.bytes) {
            Ok(object) => Ok(Answered {
                object,
                body: self.body,
                status: self.status.as_u16(),
                request_id,
                at,
            }),
            Err(source) => Err(Error::Unreadable { request_id, source }),
        }
    }

    fn refusal(self) -> Error {
        let word = |name: &str| self.body.pointer(name)?.as_str().map(str::to_owned);
        let header = |name| text(&self.headers, name);
        Error::Refused {
            status: self.status.as_u16(),
            code: word("/error/code").or_else(|| word("/error/type")),
            request_id: header("request-id"),
            retry_after: header("retry-after")
                .and_then(|after| after.parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER)),
            limited: header("stripe-rate-limited-reason"),
            should_retry: header("stripe-should-retry").and_then(|should| should.parse().ok()),
            body: Some(self.body),
        }
    }
}

/// The types of errors, newer and older ones. Gateways answer with an `error` object too, with codes and
/// types of their own.
const ERROR_TYPES: [&str; 8] = [
    "api_error",
    "api_connection_error",
    "authentication_error",
    "card_error",
    "idempotency_error",
    "invalid_request_error",
    "permission_error",
    "rate_limit_error",
];

/// Every object of Stripe's names its type or its id (<https://docs.stripe.com/api>), every error its type
/// (<https://docs.stripe.com/api/errors>), and the API does not redirect. Anything else was made on the way.
fn has_stripes_shape(status: StatusCode, body: &serde_json::Value) -> bool {
    let has_text = |name: &str| body.pointer(name).is_some_and(serde_json::Value::is_string);
    if status.is_success() {
        has_text("/object") || has_text("/id")
    } else {
        let kind = body.pointer("/error/type").and_then(serde_json::Value::as_str);
        !status.is_redirection() && kind.is_some_and(|kind| ERROR_TYPES.contains(&kind))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_of_a_gateway_is_not_stripes() {
        let of = |body| has_stripes_shape(StatusCode::NOT_FOUND, &body);
        assert!(of(
            json!({"error": {"type": "invalid_request_error", "code": "resource_missing"}})
        ));
        for body in [
            json!({"error": {"code": "ResourceNotFound", "message": "no such host"}}),
            json!({"error": {"type": "blocked"}}),
            json!({"error": "not found"}),
            json!({"id": "x", "message": "blocked"}),
        ] {
            assert!(!of(body.clone()), "{body}");
        }
    }
}
