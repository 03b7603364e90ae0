//! The certificate that Amazon SNS signs messages with. That it lies at Amazon's address is one proof; that an authority that this
//! machine trusts issued it to Amazon SNS is the other, and both are asked for
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use url::Url;
use webpki::ring::RSA_PKCS1_2048_8192_SHA256;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage};

/// FeedbackEvent a file with a certificate begins with.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// No authority has longer chains.
const MAX_INTERMEDIATES: usize = 4;
/// `id-ad-caIssuers` (RFC 5280 section 4.2.2.1) and the tag of a URI behind it.
const CA_ISSUERS: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02, 0x86];
/// Where the issuers of Amazon's certificates publish their own: Amazon Trust Services, and `DigiCert`.
const ISSUERS: [&str; 2] = [".amazontrust.com", ".digicert.com"];

/// A certificate, and those of its issuers that came with it or were fetched.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
}

/// Why a certificate is not taken for Amazon SNS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untrusted {
    /// An issuer's certificate is missing, or no authority that this machine trusts issued it.
    UnknownIssuer,
    /// It has expired, or is not valid yet.
    NotNow,
    /// It was issued to somebody else, or for something else.
    NotSns,
}

impl Certificate {
    /// Reads PEM; none where the answer is not a certificate from its first byte on. SNS serves the certificate alone, without its
    /// issuers'.
    pub(super) fn read(answer: &[u8]) -> Option<Self> {
        if !answer.starts_with(PEM) {
            return None;
        }
        let mut all = CertificateDer::pem_slice_iter(answer).take(1 + MAX_INTERMEDIATES);
        let leaf = all.next()?.ok()?;
        EndEntityCert::try_from(&leaf).ok()?;
        Some(Self { leaf, intermediates: all.flatten().collect() })
    }

    /// Where its issuer's certificate is published, if that is where Amazon's issuers publish theirs. Found by its object
    /// identifier: what lies at the address is not trusted for lying there, but verified.
    pub(super) fn issuer_url(&self) -> Option<Url> {
        let at = self.leaf.windows(CA_ISSUERS.len()).position(|bytes| bytes == CA_ISSUERS)?
            + CA_ISSUERS.len();
        let (&length, text) = self.leaf.get(at..)?.split_first()?;
        // From 128 on a length has another form; no such address is so long.
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

    /// Adds an issuer's certificate, as such are published: DER.
    pub(super) fn add_issuer(&mut self, der: Vec<u8>) {
        self.intermediates.push(der.into());
    }

    /// Verifies the chain up to `roots`, the time, and that it was issued to one of `names`.
    pub(super) fn verify(
        &self,
        names: &[String],
        roots: &[TrustAnchor<'_>],
        now: DateTime<Utc>,
    ) -> Result<(), Untrusted> {
        let certificate = EndEntityCert::try_from(&self.leaf).map_err(|_| Untrusted::NotSns)?;
        let is_named = names.iter().any(|name| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        });
        if !is_named {
            return Err(Untrusted::NotSns);
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
                Err(Untrusted::NotNow)
            }
            Err(Error::UnknownIssuer) => Err(Untrusted::UnknownIssuer),
            Err(_) => Err(Untrusted::NotSns),
        }
    }

    /// Whether its key made the signature, by RSA with PKCS #1 and SHA-256.
    pub(super) fn made(&self, message: &[u8], signature: &[u8]) -> bool {
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
    fn a_chain_leads_to_a_root_by_way_of_the_issuer_that_the_certificate_names() {
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
            Err(Untrusted::NotSns)
        );
        for day in ["2025-12-31", "2027-01-02"] {
            assert_eq!(verify(&certificate, NAME, &root, day), Err(Untrusted::NotNow), "{day}");
        }
    }

    #[test]
    fn an_issuer_is_fetched_where_amazons_issuers_publish_and_nowhere_else() {
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
    fn an_answer_is_a_certificate_from_its_first_byte_on_or_none() {
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
