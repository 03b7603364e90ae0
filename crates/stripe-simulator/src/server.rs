//! One request: whether it has a fault, who asks, whether its key was used before, and which part
//! answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use url::{Host, Url};

use crate::engine::Engine;
use crate::feed::Tone;
use crate::http::fault::{FaultKind, Faults};
use crate::http::idempotency::IdempotencyKeys;
use crate::http::request::{ApiRequest, Parameters, RecordedRequest};
use crate::http::response::ApiResponse;
use crate::http::version;
use crate::pages::{self, Pages};
use crate::state::event::API_VERSION;
use crate::{api, control};

/// Requests that are remembered, for tests; a demo that runs for weeks makes more.
const MAX_RECORDED: usize = 100_000;

/// The connection is closed without a response.
#[derive(Debug, thiserror::Error)]
#[error("closed the connection, as the fault asks")]
pub(crate) struct Disconnected;

pub(crate) struct Server {
    pub(crate) engine: Arc<Engine>,
    pub(crate) api_key: String,
    pub(crate) pages: Arc<Pages>,
    pub(crate) faults: Faults,
    pub(crate) idempotency_keys: Arc<IdempotencyKeys>,
    requests: Mutex<VecDeque<RecordedRequest>>,
}

impl Server {
    pub(crate) fn new(engine: Engine, api_key: String) -> Self {
        Self {
            engine: Arc::new(engine),
            api_key,
            pages: Arc::default(),
            faults: Faults::default(),
            idempotency_keys: Arc::default(),
            requests: Mutex::default(),
        }
    }

    /// The requests so far, oldest first: the last [`MAX_RECORDED`].
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().cloned().collect()
    }

    /// Answers one request, or closes its connection.
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Disconnected> {
        let request = read(request).await?;
        let fault = self.faults.take(&request.method, &request.path);
        if let Some(FaultKind::Delay(duration)) = fault {
            tokio::time::sleep(duration).await;
        }
        let response = self.with_fault(&request, fault.as_ref());
        self.record(&request, response.as_ref().ok());
        let request_id = format!("req_{}", hex::encode(rand::random::<[u8; 7]>()));
        let version = request.header("Stripe-Version").unwrap_or(API_VERSION).to_owned();
        let date = self.engine.time.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response.map(|response| {
            response
                .with_header("Stripe-Version", version)
                .with_header("Date", date)
                .into_http(&request_id)
        })
    }

    fn with_fault(
        &self,
        request: &ApiRequest,
        fault: Option<&FaultKind>,
    ) -> Result<ApiResponse, Disconnected> {
        if let Some(refusal) = self.refuse_other_sites(request) {
            return Ok(refusal);
        }
        match fault {
            None | Some(FaultKind::Delay(_)) => Ok(self.route(request, false)),
            Some(FaultKind::Error { status, code, headers }) => {
                let kind = if *status >= 500 { "api_error" } else { "invalid_request_error" };
                let message = "The simulator was asked for this error.";
                let mut response = ApiResponse::error(*status, kind, Some(code), message);
                response.headers.clone_from(headers);
                Ok(response)
            }
            Some(FaultKind::StoredError) => Ok(self.route(request, true)),
            Some(FaultKind::MalformedBody) => {
                Ok(ApiResponse::ok("<html>502 Bad Gateway</html>".into()))
            }
            Some(FaultKind::ProxyPage { status, headers }) => {
                let page = "<html>The page of a proxy.</html>".to_owned();
                let mut response = ApiResponse::html(*status, page);
                response.headers.clone_from(headers);
                Ok(response)
            }
            Some(FaultKind::DisconnectBefore) => Err(Disconnected),
            Some(FaultKind::DisconnectAfter) => {
                self.route(request, false);
                Err(Disconnected)
            }
        }
    }

    /// The pages need no key, so a page of any site could submit their forms in the browser of the
    /// person who runs the simulator, and under a domain that resolves to 127.0.0.1 (DNS
    /// rebinding) read them as well. Programs send neither header.
    fn refuse_other_sites(&self, request: &ApiRequest) -> Option<ApiResponse> {
        let shown_at = self.engine.page_origin();
        let is_ours = |origin: &str| {
            let url = Url::parse(origin).ok();
            let is_local = url.as_ref().and_then(Url::host).is_some_and(|host| match host {
                Host::Domain(name) => name == "localhost",
                Host::Ipv4(address) => address.is_loopback(),
                Host::Ipv6(address) => address.is_loopback(),
            });
            is_local || url.is_some_and(|url| url.host() == shown_at.host())
        };
        let host = request.header("Host").map(|host| format!("http://{host}"));
        // A link from the platform on another local port is `same-site`.
        let is_cross_site =
            request.header("Sec-Fetch-Site") == Some("cross-site") && request.method == "POST";
        let has_foreign_origin = request.header("Origin").is_some_and(|origin| !is_ours(origin));
        if host.is_some_and(|host| is_ours(&host)) && !has_foreign_origin && !is_cross_site {
            return None;
        }
        let message = "The simulator answers this machine alone: open it as http://127.0.0.1";
        Some(ApiResponse::error(403, "invalid_request_error", None, message))
    }

    fn record(&self, request: &ApiRequest, response: Option<&ApiResponse>) {
        let header = |name| request.header(name).map(str::to_owned);
        let recorded = RecordedRequest {
            method: request.method.clone(),
            path: request.path.clone(),
            idempotency_key: header("Idempotency-Key"),
            stripe_account: header("Stripe-Account"),
            stripe_version: header("Stripe-Version"),
            status: response.map(|response| response.status),
        };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= MAX_RECORDED {
            requests.pop_front();
        }
        requests.push_back(recorded);
    }

    /// `fails`: the endpoint begins its work and fails.
    fn route(&self, request: &ApiRequest, fails: bool) -> ApiResponse {
        if let Some(page) = pages::respond(&self.engine, &self.pages, request) {
            return page;
        }
        if request.path.starts_with("/_simulator/") {
            return control::respond(&self.engine, request);
        }
        if self.engine.api_is_down() {
            return self.refuse_while_down(request);
        }
        let check_version = || version::check(request, &self.engine.state().beta_flags).err();
        let refusal = self.authenticate(request).or_else(check_version);
        if let Some(refusal) = refusal.or_else(|| check_content_type(request)) {
            return refusal;
        }
        let carry_out = || {
            if fails {
                ApiResponse::error(500, "api_error", None, "The simulator was asked to fail.")
            } else {
                api::respond(&self.engine, request)
            }
        };
        if request.method == "POST" {
            self.idempotency_keys.once(request, self.engine.time.now(), carry_out)
        } else {
            carry_out()
        }
    }

    fn refuse_while_down(&self, request: &ApiRequest) -> ApiResponse {
        let call = format!("{} {}", request.method, request.path);
        let entry = self.engine.entry(None, format!("{call} → 503: Stripe is down"), Tone::Bad);
        self.engine.feed.push_merged(&call, entry);
        let message = "The simulated Stripe is down.";
        ApiResponse::error(503, "api_error", None, message).not_executed()
    }

    fn authenticate(&self, request: &ApiRequest) -> Option<ApiResponse> {
        let message = match api_key(request) {
            Some(key) if key == self.api_key => return None,
            Some(_) => "Invalid API Key provided",
            None => "You did not provide an API key. Use HTTP basic or bearer authentication.",
        };
        Some(ApiResponse::error(401, "invalid_request_error", None, message))
    }
}

async fn read(request: Request<Incoming>) -> Result<ApiRequest, Disconnected> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Disconnected)?.to_bytes();
    Ok(ApiRequest {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: Parameters::parse(head.uri.query().unwrap_or_default().as_bytes()),
        headers: head.headers,
        body,
    })
}

/// Bearer, or the user of basic authentication.
fn api_key(request: &ApiRequest) -> Option<String> {
    let header = request.header("Authorization")?;
    if let Some(key) = header.strip_prefix("Bearer ") {
        return Some(key.to_owned());
    }
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    String::from_utf8(decoded).ok()?.split(':').next().map(str::to_owned)
}

fn check_content_type(request: &ApiRequest) -> Option<ApiResponse> {
    let content_type = request.header("Content-Type").unwrap_or_default();
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    (request.method == "POST" && !is_form).then(|| {
        let message = "Unsupported content type: use application/x-www-form-urlencoded.";
        ApiResponse::invalid_request(None, message)
    })
}
