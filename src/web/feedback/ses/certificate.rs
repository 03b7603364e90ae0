//! The certificate with which Amazon SNS signs messages. Two checks are required: it was downloaded
//! from Amazon's host, and an authority that this machine trusts issued it to Amazon SNS
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use url::Url;
use webpki::ring::RSA_PKCS1_2048_8192_SHA256;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage};

/// The first bytes of a PEM file with a certificate.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// More than any chain has.
const MAX_INTERMEDIATES: usize = 4;
/// `id-ad-caIssuers` (RFC 5280 section 4.2.2.1) and the tag of a URI behind it.
const CA_ISSUERS: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02, 0x86];
/// The domains where the issuers of Amazon's certificates publish their own: Amazon Trust Services
/// and `DigiCert`.
const ISSUERS: [&str; 2] = [".amazontrust.com", ".digicert.com"];

/// A certificate, with the issuers' certificates that came with it or were fetched.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
}

/// Why a certificate is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untrusted {
    /// An issuer's certificate is missing, or the chain does not end at a trusted authority.
    #[error(
        "no authority that this machine trusts issued the certificate: are its CA certificates \
         current?"
    )]
    UnknownIssuer,
    #[error("the certificate is not valid now: is this machine's clock right?")]
    NotValidNow,
    /// Issued to another name or for another purpose, or unreadable.
    #[error("the certificate was not issued to Amazon SNS")]
    WrongSubject,
}

impl Certificate {
    /// Parses PEM. `None` unless the response begins with a certificate: an error page that merely
    /// contains one is rejected. SNS serves the certificate without its issuers'.
    pub(super) fn read(response: &[u8]) -> Option<Self> {
        if !response.starts_with(PEM) {
            return None;
        }
        let mut all = CertificateDer::pem_slice_iter(response).take(1 + MAX_INTERMEDIATES);
        let leaf = all.next()?.ok()?;
        EndEntityCert::try_from(&leaf).ok()?;
        Some(Self { leaf, intermediates: all.flatten().collect() })
    }

    /// The URL of the issuer's certificate, if it is in one of the known domains. Found by
    /// searching for the object identifier: this is not a DER parser, and the fetched certificate
    /// is verified anyway.
    pub(super) fn issuer_url(&self) -> Option<Url> {
        let at = self.leaf.windows(CA_ISSUERS.len()).position(|bytes| bytes == CA_ISSUERS)?
            + CA_ISSUERS.len();
        let (&length, text) = self.leaf.get(at..)?.split_first()?;
        // DER encodes lengths from 128 on differently; no such URL is that long.
        let text = text.get(..usize::from(length)).filter(|_| length < 128)?;
        let url = Url::parse(std::str::from_utf8(text).ok()?).ok()?;
        let is_known =
            ISSUERS.iter().any(|domain| url.host_str().is_some_and(|host| host.ends_with(domain)));
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        (is_known && is_plain).then_some(url)
    }

    /// Adds an issuer's certificate in DER, the format in which issuers publish theirs.
    pub(super) fn add_issuer(&mut self, der: Vec<u8>) {
        self.intermediates.push(der.into());
    }

    /// Verifies the chain up to `roots`, the validity at `now`, and that the subject is one of
    /// `names`.
    pub(super) fn verify(
        &self,
        names: &[String],
        roots: &[TrustAnchor<'_>],
        now: DateTime<Utc>,
    ) -> Result<(), Untrusted> {
        let certificate =
            EndEntityCert::try_from(&self.leaf).map_err(|_| Untrusted::WrongSubject)?;
        let is_named = names.iter().any(|name| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        });
        if !is_named {
            return Err(Untrusted::WrongSubject);
        }
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verified = certificate.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            roots,
            &self.intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            None,
        );
        match verified {
            Ok(_) => Ok(()),
            Err(Error::CertExpired { .. } | Error::CertNotValidYet { .. }) => {
                Err(Untrusted::NotValidNow)
            }
            Err(Error::UnknownIssuer) => Err(Untrusted::UnknownIssuer),
            Err(_) => Err(Untrusted::WrongSubject),
        }
    }

    /// Whether its key made the signature, by RSA with PKCS #1 and SHA-256.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        EndEntityCert::try_from(&self.leaf).is_ok_and(|certificate| {
            certificate.verify_signature(RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair,
        KeyUsagePurpose, date_time_ymd,
    };

    struct Authority {
        der: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority(name: &str, by: Option<&Authority>) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let made = match by {
            None => params.self_signed(&key).unwrap(),
            Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
        };
        Authority { der: made.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A leaf for a name, valid in 2026, that says where its issuer's certificate is.
    fn leaf(name: &str, by: &Authority, issuer_url: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 12, 31));
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let wrap = |tag: u8, inner: &[u8]| [&[tag, length(inner)], inner].concat();
        let uri = [CA_ISSUERS, &[length(issuer_url.as_bytes())], issuer_url.as_bytes()].concat();
        let access = wrap(0x30, &wrap(0x30, &uri));
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access)];
        params.signed_by(&key, &by.issuer).unwrap().pem()
    }

    fn anchors(of: &Authority) -> Vec<TrustAnchor<'_>> {
        vec![webpki::anchor_from_trusted_cert(&of.der).unwrap()]
    }

    const NAME: &str = "sns.amazonaws.com";
    const ISSUER: &str = "http://crt.r2m01.amazontrust.com/r2m01.cer";

    fn on(day: &str) -> DateTime<Utc> {
        format!("{day}T12:00:00Z").parse().unwrap()
    }

    #[test]
    fn a_chain_is_verified_with_the_fetched_issuer() {
        let root = authority("root", None);
        let intermediate = authority("intermediate", Some(&root));
        let mut certificate =
            Certificate::read(leaf(NAME, &intermediate, ISSUER).as_bytes()).unwrap();
        let verify = |certificate: &Certificate, name: &str, roots: &Authority, day: &str| {
            certificate.verify(&[name.to_owned()], &anchors(roots), on(day))
        };
        assert_eq!(verify(&certificate, NAME, &root, "2026-11-24"), Err(Untrusted::UnknownIssuer));
        assert_eq!(certificate.issuer_url().map(String::from).as_deref(), Some(ISSUER));
        certificate.add_issuer(intermediate.der.to_vec());
        assert_eq!(verify(&certificate, NAME, &root, "2026-11-24"), Ok(()));
        let other = authority("root", None);
        assert_ne!(verify(&certificate, NAME, &other, "2026-11-24"), Ok(()));
        assert_eq!(
            verify(&certificate, "sns.example.com", &root, "2026-11-24"),
            Err(Untrusted::WrongSubject)
        );
        for day in ["2025-12-31", "2027-01-02"] {
            assert_eq!(
                verify(&certificate, NAME, &root, day),
                Err(Untrusted::NotValidNow),
                "{day}"
            );
        }
    }

    #[test]
    fn an_issuer_url_is_in_a_known_domain() {
        let root = authority("root", None);
        for (url, is_known) in [
            (ISSUER, true),
            ("http://cacerts.digicert.com/x.crt", true),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://evilamazontrust.com/x.cer", false),
            ("http://crt.amazontrust.com@evil.example/x.cer", false),
            ("http://crt.amazontrust.com:8080/x.cer", false),
            ("file:///crt.amazontrust.com", false),
        ] {
            let certificate = Certificate::read(leaf(NAME, &root, url).as_bytes()).unwrap();
            assert_eq!(certificate.issuer_url().is_some(), is_known, "{url}");
        }
    }

    #[test]
    fn a_response_must_begin_with_a_certificate() {
        let root = authority("root", None);
        let pem = leaf(NAME, &root, ISSUER);
        assert!(Certificate::read(pem.as_bytes()).is_some());
        for bad in [
            String::new(),
            "<html>".to_owned(),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            format!("<GetEndpointAttributesResponse>{pem}</GetEndpointAttributesResponse>"),
            format!("\n{pem}"),
        ] {
            assert!(Certificate::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
