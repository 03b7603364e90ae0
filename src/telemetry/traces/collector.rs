//! Sends encoded spans to the collector, in our runtime and with our HTTP client.
//!
//! No span is open here: the SDK calls it from its own thread, so an export never traces itself.

use std::fmt::{self, Debug, Formatter};
use std::pin::Pin;
use std::time::{Duration, Instant};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::clock::Throttle;
use crate::telemetry::chain;

/// A collector that is down fails every few seconds.
const BETWEEN_WARNINGS: Duration = Duration::from_mins(1);

/// A response says at most that some spans were rejected.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

pub(super) struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    warnings: Mutex<Throttle>,
}

impl Collector {
    pub(super) fn new(http: reqwest::Client) -> Self {
        Self { http, runtime: Handle::current(), warnings: Mutex::default() }
    }

    fn warn(&self, error: &str) {
        if self.warnings.lock().is_due(BETWEEN_WARNINGS, Instant::now()) {
            tracing::warn!(error, "cannot export traces: the collector did not accept them");
        }
    }
}

impl Debug for Collector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sending<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            // The SDK's thread has no reactor, which reqwest needs. Not tracked: a shutdown waits
            // for the export in `flush`, and no longer than that.
            let sent = self.runtime.spawn(send(self.http.clone(), request)).await;
            match sent.map_err(HttpError::from).flatten() {
                Ok(response) => {
                    if !response.status().is_success() {
                        self.warn(&format!("it answered {}", response.status().as_u16()));
                    }
                    Ok(response)
                }
                Err(error) => {
                    self.warn(&chain(error.as_ref()));
                    Err(error)
                }
            }
        })
    }
}

async fn send(
    http: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    // The address may hold credentials.
    let without_url = reqwest::Error::without_url;
    let request = reqwest::Request::try_from(request).map_err(without_url)?;
    let mut answer = http.execute(request).await.map_err(without_url)?;
    let mut response = Response::builder().status(answer.status());
    // `Retry-After` is among them.
    if let Some(headers) = response.headers_mut() {
        headers.clone_from(answer.headers());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(without_url)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_RESPONSE_BYTES {
            return Err("the response is too long".into());
        }
    }
    Ok(response.body(body.into())?)
}
