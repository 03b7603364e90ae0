//! The HTTP client for Stripe's API. Each call is one request; the queue retries.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use url::Url;

use super::list::{List, Page};
use super::rate_limit::RateLimit;
use super::{
    Account, AccountId, AccountLink, Error, EventId, FinancingOffer, GenerationFailure, LinkTo,
    OfferId, Person, StripeMetrics,
};
use crate::clock::Clock;
use crate::http;
use crate::queue::{Circuit, Next, Retryable};
use crate::telemetry::traces::{self, Span};

#[derive(Clone, Debug)]
pub struct Settings {
    /// A secret or restricted key of the platform.
    pub api_key: SecretString,
    /// `https://api.stripe.com`, or a simulator.
    pub api_base: Url,
    /// `Stripe-Version` of every request; empty for the account's default.
    pub api_version: String,
    /// `Stripe-Version` of Account Sessions, whose components are in preview.
    pub embedded_version: String,
    /// The rate limit of all processes together, for each endpoint; also for all endpoints together
    /// unless the key is a live one.
    pub requests_per_second: u32,
    /// For a whole request, from connecting to the last byte of the body.
    pub timeout: Duration,
}

/// Calls Stripe with the platform's key. Clones share connections and the rate limit.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    settings: std::sync::Arc<Settings>,
    rate_limit: std::sync::Arc<RateLimit>,
    circuit: Circuit,
    clock: Clock,
    metrics: std::sync::Arc<StripeMetrics>,
    /// A shorter timeout than that of the settings.
    timeout: Option<Duration>,
}

/// The offers of a list.
#[derive(Clone, Copy, Debug)]
pub enum OfferList<'a> {
    All,
    Undelivered,
    OfAccount(&'a AccountId),
}

/// The events of a list.
#[derive(Clone, Copy, Debug)]
pub enum EventList {
    /// Events that failed or are pending at one endpoint at least. Events that no endpoint was
    /// registered for are not among them.
    Undelivered,
    CreatedSince(DateTime<Utc>),
}

/// A decoded object with its response.
#[derive(Clone, Debug)]
pub struct ApiResponse<T> {
    pub object: T,
    /// The complete body.
    pub body: serde_json::Value,
    pub status: u16,
    /// The `Request-Id` header.
    pub request_id: Option<String>,
    /// The `Date` header: Stripe's clock, which also dates its events.
    pub at: Option<DateTime<Utc>>,
}

/// Caps `Retry-After`, so that an absurd value cannot delay a letter for a day.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);
/// Stripe allows 25 calls a second to an endpoint and, in live mode, 100 in all; in test mode 25
/// (<https://docs.stripe.com/rate-limits>).
const LIVE_ENDPOINTS_AT_ONCE: u32 = 4;
/// Stripe usually answers within a second, and a person is waiting for the page.
const INTERACTIVE_TIMEOUT: Duration = Duration::from_secs(5);
const OFFERS: &str = "/v1/capital/financing_offers";
/// An account takes about 10 KB; a body this large does not come from Stripe.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

impl Client {
    /// Opens no connection yet.
    pub fn new(settings: Settings, circuit: Circuit, clock: Clock) -> Result<Self, reqwest::Error> {
        let http = http::client::builder(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(5)))
            .build()?;
        let is_live = livemode_of_key(settings.api_key.expose_secret()) == Some(true);
        let endpoints_at_once = if is_live { LIVE_ENDPOINTS_AT_ONCE } else { 1 };
        let rate_limit = RateLimit::new(settings.requests_per_second, endpoints_at_once).into();
        let (settings, metrics) = (settings.into(), std::sync::Arc::default());
        Ok(Self { http, settings, rate_limit, circuit, clock, metrics, timeout: None })
    }

    /// The mode of the key: true for live data, none if its prefix does not say.
    pub fn livemode(&self) -> Option<bool> {
        livemode_of_key(self.settings.api_key.expose_secret())
    }

    /// The same client with a timeout of at most five seconds, for calls that a person waits for.
    #[must_use]
    pub fn interactive(&self) -> Self {
        Self { timeout: Some(self.settings.timeout.min(INTERACTIVE_TIMEOUT)), ..self.clone() }
    }

    /// The circuit breaker that this client's outcomes open and close.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    pub fn metrics(&self) -> &StripeMetrics {
        &self.metrics
    }

    /// Divides the rate limit by the number of processes.
    pub fn share_with(&self, processes: u32) {
        self.rate_limit.share_with(processes);
    }

    pub async fn offer(&self, id: &OfferId) -> Result<ApiResponse<FinancingOffer>, Error> {
        self.get("offer", &format!("/v1/capital/financing_offers/{id}"), &[]).await
    }

    /// Up to a hundred undelivered offers that are newer than this one. Unreadable entries are
    /// omitted.
    pub(super) async fn undelivered_after(
        &self,
        id: &OfferId,
    ) -> Result<Vec<ApiResponse<FinancingOffer>>, Error> {
        let query = [("status", "undelivered"), ("limit", "100"), ("ending_before", id.as_str())];
        let page: ApiResponse<List<serde_json::Value>> = self.get("offers", OFFERS, &query).await?;
        let (status, request_id, at) = (page.status, page.request_id, page.at);
        let read = |body: serde_json::Value| {
            let object = FinancingOffer::deserialize(&body).ok()?;
            Some(ApiResponse { object, body, status, request_id: request_id.clone(), at })
        };
        Ok(page.object.data.into_iter().filter_map(read).collect())
    }

    /// A page of offers, newest first.
    pub async fn offers(&self, list: OfferList<'_>, after: Option<&str>) -> Result<Page, Error> {
        let request = self.request(Method::GET, OFFERS);
        let request = match list {
            OfferList::All => request,
            OfferList::Undelivered => request.query(&[("status", "undelivered")]),
            OfferList::OfAccount(account) => {
                request.query(&[("connected_account", account.as_str())])
            }
        };
        self.page("offers", request, after).await
    }

    /// A page of Capital's events, newest first. Stripe keeps events for 30 days
    /// (<https://docs.stripe.com/api/events/list>).
    pub async fn events(&self, list: EventList, after: Option<&str>) -> Result<Page, Error> {
        let request = self.request(Method::GET, "/v1/events").query(&[("type", "capital.*")]);
        let request = match list {
            EventList::Undelivered => request.query(&[("delivery_success", "false")]),
            EventList::CreatedSince(time) => request.query(&[("created[gte]", time.timestamp())]),
        };
        self.page("events", request, after).await
    }

    /// What a `v2.core.health.event_generation_failure.resolved` event is about. The event itself
    /// arrives without its data
    /// (<https://docs.stripe.com/webhooks/handle-irrecoverable-events>).
    pub async fn generation_failure(&self, id: &EventId) -> Result<GenerationFailure, Error> {
        // Version 2 of the API has no default version.
        let version = match self.settings.api_version.as_str() {
            "" => GenerationFailure::API_VERSION,
            configured => configured,
        };
        let path = format!("/v2/core/events/{id}");
        Ok(self.send("event", self.request_as_of(version, Method::GET, &path)).await?.object)
    }

    /// Creates a link; each call creates another one.
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
        // Return the link without the response: its body contains the secret URL.
        Ok(self.send::<AccountLink>("account_links", request).await?.object)
    }

    /// Lists one offer, to check that the key is valid and may read offers. Returns the `Date` of
    /// the response.
    pub async fn probe(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let offers: ApiResponse<List<IgnoredAny>> =
            self.get("offers", OFFERS, &[("limit", "1")]).await?;
        Ok(offers.at)
    }

    pub async fn account(&self, id: &AccountId) -> Result<Account, Error> {
        Ok(self.get("account", &format!("/v1/accounts/{id}"), &[]).await?.object)
    }

    /// The person who owns the account, if Stripe returns one.
    pub async fn owner(&self, id: &AccountId) -> Result<Option<Person>, Error> {
        let query = [("relationship[owner]", "true"), ("limit", "1")];
        let people: ApiResponse<List<Person>> =
            self.get("persons", &format!("/v1/accounts/{id}/persons"), &query).await?;
        Ok(people.object.data.into_iter().next())
    }

    /// Tells Stripe that the offer was shown to the merchant. Repeating the call with the same key
    /// within a day returns the first response (<https://docs.stripe.com/api/idempotent_requests>).
    pub async fn mark_delivered(
        &self,
        id: &OfferId,
        idempotency_key: &str,
    ) -> Result<ApiResponse<FinancingOffer>, Error> {
        let path = format!("/v1/capital/financing_offers/{id}/mark_delivered");
        let request = self.request(Method::POST, &path).header("Idempotency-Key", idempotency_key);
        // An empty form sets the content type, as Stripe's own clients do; stripe-mock requires it.
        self.send("mark_delivered", request.form(&[(); 0])).await
    }

    /// Up to a hundred entries of a list, beginning after the entry with this id.
    pub(super) async fn page(
        &self,
        endpoint: &'static str,
        request: RequestBuilder,
        after: Option<&str>,
    ) -> Result<Page, Error> {
        let ApiResponse { object: List { data, has_more }, at, .. } =
            self.send(endpoint, paged(request, after)).await?;
        Ok(Page { entries: data, has_more, at })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<ApiResponse<T>, Error> {
        self.send(endpoint, self.request(Method::GET, path).query(query)).await
    }

    /// The version of `stripe.api_version` without beta flags; `None` for the account's default.
    pub fn api_version(&self) -> Option<&str> {
        let version = self.settings.api_version.split(';').next().unwrap_or_default().trim();
        Some(version).filter(|version| !version.is_empty())
    }

    pub fn api_base(&self) -> &Url {
        &self.settings.api_base
    }

    pub(super) fn embedded_version(&self) -> &str {
        &self.settings.embedded_version
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_as_of(&self.settings.api_version, method, path)
    }

    /// A request with this `Stripe-Version`; empty for the account's default.
    pub(super) fn request_as_of(
        &self,
        version: &str,
        method: Method,
        path: &str,
    ) -> RequestBuilder {
        let mut url = self.settings.api_base.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        let mut request =
            self.http.request(method, url).bearer_auth(self.settings.api_key.expose_secret());
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        if version.is_empty() { request } else { request.header("Stripe-Version", version) }
    }

    /// Waits for the rate limit, sends the request, and reports the outcome to the circuit breaker
    /// and the rate limit.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        request: RequestBuilder,
    ) -> Result<ApiResponse<T>, Error> {
        self.rate_limit.turn(endpoint).await.map_err(|wait| {
            self.metrics.not_sent(endpoint);
            Error::NotYet(wait)
        })?;
        let started = Instant::now();
        let sent = self.clock.elapsed();
        let outcome = match RawResponse::receive(endpoint, request).await {
            Ok(response) => {
                let date = response.date();
                let read = response.read();
                // Compare clocks only if Stripe itself made the response: a proxy's date may
                // differ, and an unreadable response may come from a proxy.
                if let (Some(at), Ok(_) | Err(Error::Refused { .. })) = (date, &read) {
                    self.clock.compare(at, sent);
                }
                read
            }
            Err(error) => Err(error),
        };
        let error = outcome.as_ref().err();
        self.metrics.answered(endpoint, error, started.elapsed());
        self.record_outcome(endpoint, error);
        outcome
    }

    fn record_outcome(&self, endpoint: &'static str, error: Option<&Error>) {
        match error {
            None => {
                self.circuit.succeeded();
                self.rate_limit.succeeded(endpoint);
            }
            // No other call can succeed: open the circuit without waiting for more failures.
            Some(error) if error.is_wrong_key() => self.circuit.failed_for_all(),
            Some(error) if error.is_outage() => self.circuit.failed(),
            // Stripe is up, even though it rejected this call.
            Some(error) => {
                self.circuit.succeeded();
                if let (Some(limit), Next::Postpone(pause)) = (error.limit(), error.next()) {
                    tracing::warn!(
                        stripe.endpoint = endpoint,
                        limit = ?limit,
                        pause.seconds = pause.as_secs(),
                        "Stripe's rate limit: slowing down"
                    );
                    self.rate_limit.slow_down(endpoint, limit, pause);
                }
            }
        }
    }
}

pub(super) fn paged(request: RequestBuilder, after: Option<&str>) -> RequestBuilder {
    request.query(&[("limit", "100")]).query(&after.map(|id| [("starting_after", id)]))
}

/// A response in Stripe's format.
struct RawResponse {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
    body: serde_json::Value,
}

impl RawResponse {
    /// Sends the request, as a span. A body in another format is `Error::NotStripe`.
    async fn receive(endpoint: &'static str, request: RequestBuilder) -> Result<Self, Error> {
        let (http, request) = request.build_split();
        let request = request.map_err(|error| Error::NoAnswer(error.without_url()))?;
        let (method, url) = (request.method().as_str(), request.url());
        Span::call("stripe", endpoint)
            .text("http.request.method", method)
            .text("server.address", url.host_str().unwrap_or_default())
            .number("server.port", url.port_or_known_default().unwrap_or_default())
            .run(Self::exchange(http, request))
            .await
    }

    async fn exchange(http: reqwest::Client, request: reqwest::Request) -> Result<Self, Error> {
        let no_response = |error: reqwest::Error| {
            traces::fail(if error.is_timeout() { "timeout" } else { "no_answer" });
            Error::NoAnswer(error.without_url())
        };
        let mut response = http.execute(request).await.map_err(no_response)?;
        let (status, headers) = (response.status(), response.headers().clone());
        trace_response(status, &headers);
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_response)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_RESPONSE_BYTES {
                // A truncated body does not parse and is reported as `NotStripe`.
                break;
            }
        }
        match serde_json::from_slice(&bytes) {
            Ok(body) if is_from_stripe(status, &body) => {
                if !status.is_success() {
                    traces::fail(status.as_str());
                }
                Ok(Self { status, headers, bytes, body })
            }
            Ok(_) | Err(_) => {
                traces::fail("not_stripe");
                Err(Error::NotStripe { status: status.as_u16() })
            }
        }
    }

    fn date(&self) -> Option<DateTime<Utc>> {
        let date = text(&self.headers, "date")?;
        Some(DateTime::parse_from_rfc2822(&date).ok()?.to_utc())
    }

    fn read<T: DeserializeOwned>(self) -> Result<ApiResponse<T>, Error> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        let (request_id, at) = (text(&self.headers, "request-id"), self.date());
        // Decode the bytes, not the value: lists keep the raw JSON of each entry.
        match serde_json::from_slice::<T>(&self.bytes) {
            Ok(object) => Ok(ApiResponse {
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
        let field = |name: &str| self.body.pointer(name)?.as_str().map(str::to_owned);
        let header = |name| text(&self.headers, name);
        Error::Refused {
            status: self.status.as_u16(),
            code: field("/error/code").or_else(|| field("/error/type")),
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

fn trace_response(status: StatusCode, headers: &HeaderMap) {
    traces::set_number("http.response.status_code", status.as_u16());
    if let Some(id) = text(headers, "request-id") {
        traces::set_text("stripe.request_id", &id);
    }
}

/// Present and former error types. Gateways also send an `error` object, with their own types.
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

/// Every Stripe object has a type or an id (<https://docs.stripe.com/api>), every error has a type
/// (<https://docs.stripe.com/api/errors>), and the API never redirects. Any other response comes
/// from a proxy or a captive portal.
fn is_from_stripe(status: StatusCode, body: &serde_json::Value) -> bool {
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

/// The mode is part of the key (<https://docs.stripe.com/keys>).
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
    fn a_gateways_error_is_not_from_stripe() {
        let of = |body| is_from_stripe(StatusCode::NOT_FOUND, &body);
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
