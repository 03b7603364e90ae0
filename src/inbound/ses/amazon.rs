//! What is asked of Amazon: the certificates that its messages are signed with, and the visit that confirms a subscription. Both go
//! to Amazon SNS over https and nowhere else, whatever a message says.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use url::Url;
use webpki::EndEntityCert;

/// SNS waits 15 seconds for our answer.
const LONGEST: Duration = Duration::from_secs(5);
/// A certificate is some 2 KB, and so is the answer to a confirmation.
const MOST_BYTES: usize = 64 * 1024;
/// A region has one certificate at a time, for about a year.
const MOST_CERTIFICATES: u64 = 16;
const KEPT_FOR: Duration = Duration::from_hours(24);

/// Asks Amazon, and remembers its certificates for a day. Clones share them.
#[derive(Clone, Debug)]
pub struct Amazon {
    http: reqwest::Client,
    certificates: Cache<String, Arc<Certificate>>,
}

/// The machine's TLS set-up is broken.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an HTTPS client")]
pub struct NoClient(#[from] reqwest::Error);

/// Why Amazon's answer does not help.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// It gave none: later perhaps.
    #[error("cannot ask Amazon SNS: {0}")]
    Away(String),
    /// It will not help later either.
    #[error("{0}")]
    Useless(&'static str),
}

/// An address at Amazon SNS.
#[derive(Clone, Debug)]
pub(super) struct AmazonUrl(Url);

impl AmazonUrl {
    /// None where it is somebody else's: `https://sns.<region>.amazonaws.com/…`, in China with `.cn` behind.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        let region = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
        let region = region.strip_prefix("sns.")?;
        let is_region = !region.is_empty()
            && region.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        let is_plain = url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        (is_region && is_plain).then_some(Self(url))
    }
}

impl Amazon {
    /// Asks as this service does.
    pub fn new() -> Result<Self, NoClient> {
        // More than one crate brings rustls along. Whichever is first decides, and all of ours decide alike.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("capital-courier/", env!("CARGO_PKG_VERSION")))
            .timeout(LONGEST)
            // Where a redirect leads was not looked at.
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true)
            .build()?;
        Ok(Self::over(http))
    }

    /// Asks in this way. For tests, which have an Amazon of their own.
    pub fn over(http: reqwest::Client) -> Self {
        let certificates = Cache::builder().max_capacity(MOST_CERTIFICATES).time_to_live(KEPT_FOR).build();
        Self { http, certificates }
    }

    /// The certificate at an address.
    pub(super) async fn certificate(&self, url: &AmazonUrl) -> Result<Arc<Certificate>, AskError> {
        if let Some(known) = self.certificates.get(url.0.as_str()).await {
            return Ok(known);
        }
        let certificate = Certificate::read(&self.get(url).await?).map(Arc::new);
        let certificate = certificate.ok_or(AskError::Useless("what Amazon has there is no certificate"))?;
        self.certificates.insert(url.0.to_string(), Arc::clone(&certificate)).await;
        Ok(certificate)
    }

    /// Visits an address: that is how Amazon wants to be told that a subscription is wanted.
    pub(super) async fn visit(&self, url: &AmazonUrl) -> Result<(), AskError> {
        self.get(url).await.map(drop)
    }

    async fn get(&self, url: &AmazonUrl) -> Result<Vec<u8>, AskError> {
        // The address holds the token of the subscription, which is nobody's business.
        let away = |error: reqwest::Error| AskError::Away(error.without_url().to_string());
        let mut answer = self.http.get(url.0.clone()).send().await.map_err(away)?;
        if answer.status().is_server_error() {
            return Err(AskError::Away(answer.status().to_string()));
        }
        if !answer.status().is_success() {
            return Err(AskError::Useless("Amazon does not have what a message says it has"));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(away)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MOST_BYTES {
                return Err(AskError::Useless("Amazon's answer is too long"));
            }
        }
        Ok(bytes)
    }
}

/// A certificate of Amazon's. That it is Amazon's is known by where it came from.
#[derive(Debug)]
pub(super) struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// Reads PEM; none where there is no certificate in it.
    pub(super) fn read(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        EndEntityCert::try_from(&der).ok()?;
        Some(Self(der))
    }

    /// Whether its key made the signature.
    pub(super) fn verifies(
        &self,
        algorithm: &dyn SignatureVerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        EndEntityCert::try_from(&self.0)
            .is_ok_and(|certificate| certificate.verify_signature(algorithm, message, signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_but_from_amazon() {
        for good in [
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem",
            "https://SNS.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
            "https://sns.cn-north-1.amazonaws.com.cn/x.pem",
            "https://sns.us-gov-west-1.amazonaws.com:443/x.pem",
        ] {
            assert!(AmazonUrl::parse(good).is_some(), "{good}");
        }
        for bad in [
            "http://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
            "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
            "https://evil.example#sns.eu-west-1.amazonaws.com",
            "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
            "https://user:pass@sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
            "https://sns.evil.eu-west-1.amazonaws.com/x.pem",
            "https://sns.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://bucket.s3.amazonaws.com/x.pem",
            "https://evilsns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com.\u{ff43}n.evil.example/x.pem",
            "",
        ] {
            assert!(AmazonUrl::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_not_taken_for_one() {
        for bad in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"<html>"] {
            assert!(Certificate::read(bad).is_none());
        }
    }
}
