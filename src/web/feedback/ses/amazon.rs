//! Requests to Amazon: signing certificates, and the request that confirms a subscription. Both go
//! to Amazon SNS in the topic's region over https, whatever a message says. The one exception is
//! the certificate of the certificate's issuer, which is published over http: it is verified, not
//! trusted.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache;
use reqwest::StatusCode;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use tokio::sync::Semaphore;
use url::Url;

use super::certificate::{Certificate, Untrusted};
use super::topic::TopicArn;
use crate::http;

/// Per request. SNS waits 15 seconds for our response: enough for the semaphore, a certificate, its
/// issuer and the confirmation.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// A certificate is some 2 KB, and so is the answer to a confirmation.
const MAX_BYTES: usize = 64 * 1024;
/// A region has one certificate at a time, for about a year.
const CACHE_CAPACITY: u64 = 16;
const CACHE_FOR: Duration = Duration::from_hours(24);
/// Anyone can make us request a certificate that does not exist, so concurrent requests are
/// limited.
const MAX_FETCHES: usize = 4;

/// Fetches from Amazon and caches certificates for a day. Clones share the cache.
#[derive(Clone, Debug)]
pub struct Amazon {
    http: reqwest::Client,
    roots: Arc<[TrustAnchor<'static>]>,
    certificates: Cache<String, Arc<Certificate>>,
    fetches: Arc<Semaphore>,
}

/// The TLS configuration of the machine is unusable.
#[derive(Debug, thiserror::Error)]
#[error("cannot create an HTTPS client")]
pub struct HttpClientError(#[from] reqwest::Error);

/// Why a message could not be authenticated, or a subscription not confirmed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// May succeed later.
    #[error("Amazon SNS is unavailable: {0}")]
    Unavailable(String),
    /// Will not succeed later either.
    #[error("{0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

impl Amazon {
    /// Uses the service's HTTP client and the machine's trusted CA certificates.
    pub fn new() -> Result<Self, HttpClientError> {
        let http = http::client::builder(REQUEST_TIMEOUT).build()?;
        let trusted = rustls_native_certs::load_native_certs();
        if trusted.certs.is_empty() {
            tracing::error!(
                "this machine has no CA certificates: no message of Amazon SNS can be verified"
            );
        }
        Ok(Self::over(http, &trusted.certs))
    }

    /// With another client and other authorities: for tests.
    pub fn over(http: reqwest::Client, trusted: &[CertificateDer<'_>]) -> Self {
        let anchor = |certificate| webpki::anchor_from_trusted_cert(certificate).ok();
        let roots = trusted.iter().filter_map(anchor).map(|anchor| anchor.to_owned()).collect();
        let certificates =
            Cache::builder().max_capacity(CACHE_CAPACITY).time_to_live(CACHE_FOR).build();
        Self { http, roots, certificates, fetches: Arc::new(Semaphore::new(MAX_FETCHES)) }
    }

    /// The certificate at a URL of [`TopicArn::certificate_url`]. Concurrent calls for one URL
    /// share a request; only a verified certificate is cached.
    pub(super) async fn certificate(
        &self,
        topic: &TopicArn,
        url: &Url,
        now: DateTime<Utc>,
    ) -> Result<Arc<Certificate>, FetchError> {
        let fetched =
            self.certificates.try_get_with(url.to_string(), self.fetch(topic, url, now)).await;
        fetched.map_err(|error| (*error).clone())
    }

    async fn fetch(
        &self,
        topic: &TopicArn,
        url: &Url,
        now: DateTime<Utc>,
    ) -> Result<Arc<Certificate>, FetchError> {
        let permit = tokio::time::timeout(REQUEST_TIMEOUT, self.fetches.acquire()).await;
        let _permit = permit.map_err(|_| {
            FetchError::Unavailable("too many certificates are being fetched".to_owned())
        })?;
        let mut certificate = Certificate::read(&self.get(url).await?)
            .ok_or(FetchError::Invalid("Amazon's response is not a certificate"))?;
        let names = topic.certificate_names();
        let mut verified = certificate.verify(&names, &self.roots, now);
        // SNS serves the leaf alone, so the intermediate certificate has to be fetched.
        if verified == Err(Untrusted::UnknownIssuer)
            && let Some(issuer) = certificate.issuer_url()
        {
            let der = self.get(&issuer).await.map_err(|error| {
                FetchError::Unavailable(format!(
                    "cannot fetch the issuer's certificate at {issuer}: {error}"
                ))
            })?;
            certificate.add_issuer(der);
            verified = certificate.verify(&names, &self.roots, now);
        }
        verified?;
        Ok(Arc::new(certificate))
    }

    /// Requests a confirmation URL, which confirms the subscription.
    pub(super) async fn confirm(&self, url: &Url) -> Result<(), FetchError> {
        self.get(url).await.map(drop)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        // The URL contains the subscription's token, which must not be logged.
        let unavailable =
            |error: reqwest::Error| FetchError::Unavailable(error.without_url().to_string());
        let mut response = self.http.get(url.clone()).send().await.map_err(unavailable)?;
        let status = response.status();
        // Statuses of a proxy. They are temporary, but SNS would not repeat a message that was
        // rejected.
        let is_temporary = matches!(
            status,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        );
        if status.is_server_error() || status.is_redirection() || is_temporary {
            return Err(FetchError::Unavailable(status.to_string()));
        }
        if !status.is_success() {
            return Err(FetchError::Invalid(
                "Amazon does not have the file that the message names",
            ));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_BYTES {
                return Err(FetchError::Invalid("Amazon's response is too long"));
            }
        }
        Ok(bytes)
    }
}
