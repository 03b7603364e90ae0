//! FeedbackEvent is asked of Amazon: the certificates that its messages are signed with, and the visit that confirms a subscription. Both go
//! to Amazon SNS in the topic's region, over https and nowhere else, whatever a message says. The one exception is the certificate of
//! the certificate's issuer, which is published over http: it is verified, not trusted.

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

/// SNS waits 15 seconds for our answer: enough for a turn, a certificate, its issuer and a visit.
const LONGEST: Duration = Duration::from_secs(3);
/// A certificate is some 2 KB, and so is the answer to a confirmation.
const MAX_BYTES: usize = 64 * 1024;
/// A region has one certificate at a time, for about a year.
const MAX_CERTIFICATES: u64 = 16;
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Anyone can make us ask for a certificate that does not exist, so only this many are asked for at once.
const MAX_FETCHES: usize = 4;

/// Asks Amazon, and remembers its certificates for a day. Clones share them.
#[derive(Clone, Debug)]
pub struct Amazon {
    http: reqwest::Client,
    roots: Arc<[TrustAnchor<'static>]>,
    certificates: Cache<String, Arc<Certificate>>,
    fetches: Arc<Semaphore>,
}

/// The machine's TLS set-up is broken.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an HTTPS client")]
pub struct NoClient(#[from] reqwest::Error);

/// Why Amazon's answer does not help.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum AskError {
    /// It gave none: later perhaps.
    #[error("cannot ask Amazon SNS: {0}")]
    Away(String),
    /// It will not help later either.
    #[error("{0}")]
    Useless(&'static str),
}

impl From<Untrusted> for AskError {
    fn from(why: Untrusted) -> Self {
        Self::Useless(match why {
            Untrusted::UnknownIssuer => {
                "no authority that this machine trusts issued the certificate: are its CA certificates current?"
            }
            Untrusted::NotNow => "the certificate is not valid now: is this machine's clock right?",
            Untrusted::NotSns => "the certificate was not issued to Amazon SNS",
        })
    }
}

impl Amazon {
    /// Asks as this service does, and trusts whom this machine trusts.
    pub fn new() -> Result<Self, NoClient> {
        let http = http::client::builder(LONGEST).build()?;
        let trusted = rustls_native_certs::load_native_certs();
        if trusted.certs.is_empty() {
            tracing::error!(
                "this machine has no CA certificates: no message of Amazon SNS can be verified"
            );
        }
        Ok(Self::over(http, &trusted.certs))
    }

    /// Asks in this way, and trusts these authorities. For tests, which have an Amazon of their own.
    pub fn over(http: reqwest::Client, trusted: &[CertificateDer<'_>]) -> Self {
        let anchor = |certificate| webpki::anchor_from_trusted_cert(certificate).ok();
        let roots = trusted.iter().filter_map(anchor).map(|anchor| anchor.to_owned()).collect();
        let certificates =
            Cache::builder().max_capacity(MAX_CERTIFICATES).time_to_live(KEPT_FOR).build();
        Self { http, roots, certificates, fetches: Arc::new(Semaphore::new(MAX_FETCHES)) }
    }

    /// The certificate at an address, as [`TopicArn::certificate_url`] gives it. Those who ask for the same one at the same time
    /// share one fetch; only one that is proven to be Amazon's is remembered.
    pub(super) async fn certificate(
        &self,
        topic: &TopicArn,
        url: &Url,
        now: DateTime<Utc>,
    ) -> Result<Arc<Certificate>, AskError> {
        let fetched =
            self.certificates.try_get_with(url.to_string(), self.fetch(topic, url, now)).await;
        fetched.map_err(|error| (*error).clone())
    }

    async fn fetch(
        &self,
        topic: &TopicArn,
        url: &Url,
        now: DateTime<Utc>,
    ) -> Result<Arc<Certificate>, AskError> {
        let turn = tokio::time::timeout(LONGEST, self.fetches.acquire()).await;
        let _turn = turn.map_err(|_| {
            AskError::Away("too many certificates are asked for at once".to_owned())
        })?;
        let mut certificate = Certificate::read(&self.get(url).await?)
            .ok_or(AskError::Useless("what Amazon has there is no certificate"))?;
        let names = topic.certificate_names();
        let mut verified = certificate.verify(&names, &self.roots, now);
        if verified == Err(Untrusted::UnknownIssuer)
            && let Some(issuer) = certificate.issuer_url()
        {
            let der = self.get(&issuer).await.map_err(|error| {
                AskError::Away(format!(
                    "the certificate of its issuer, at {issuer}, cannot be had: {error}"
                ))
            })?;
            certificate.add_issuer(der);
            verified = certificate.verify(&names, &self.roots, now);
        }
        verified?;
        Ok(Arc::new(certificate))
    }

    /// Visits an address: that is how Amazon wants to be told that a subscription is wanted.
    pub(super) async fn visit(&self, url: &Url) -> Result<(), AskError> {
        self.get(url).await.map(drop)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, AskError> {
        // The address holds the token of the subscription, which is nobody's business.
        let away = |error: reqwest::Error| AskError::Away(error.without_url().to_string());
        let mut answer = self.http.get(url.clone()).send().await.map_err(away)?;
        let status = answer.status();
        // A proxy on the way says this, and SNS would not send a message again that was refused for good.
        let is_for_now = matches!(
            status,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        );
        if status.is_server_error() || status.is_redirection() || is_for_now {
            return Err(AskError::Away(status.to_string()));
        }
        if !status.is_success() {
            return Err(AskError::Useless("Amazon does not have what a message says it has"));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(away)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MAX_BYTES {
                return Err(AskError::Useless("Amazon's answer is too long"));
            }
        }
        Ok(bytes)
    }
}
