//! DKIM signatures (RFC 6376), which prove to receivers that a letter comes from the sender's
//! domain. RFC 8058 section 4 requires a signature over both unsubscribe headers; without one, mail
//! programs show no unsubscribe button.
//!
//! lettre computes the signature. This file owns what lettre leaves to its caller: keys in the
//! formats that `openssl` writes, the list of signed headers, and the DNS record.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::SigningKey;
use lettre::Message;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm,
    DkimSigningKey, dkim_sign,
};
use lettre::message::header::HeaderName;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey, LineEnding};
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use secrecy::{ExposeSecret, SecretString};

/// A signing key with its selector and domain. Clones share the key.
#[derive(Clone)]
pub struct Dkim(Arc<Signer>);

struct Signer {
    config: DkimConfig,
    selector: String,
    domain: String,
    algorithm: Algorithm,
    /// The public key as it appears in the DNS record.
    public: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha256`
    Rsa { bits: usize },
    /// `ed25519-sha256` (RFC 8463).
    Ed25519,
}

/// Why a signing configuration is rejected. Never contains the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DkimError {
    #[error(
        "not a private key for DKIM: expected the PEM of an RSA or Ed25519 key, \
         as `openssl genpkey` writes it"
    )]
    Key,
    /// RFC 8301 section 3.2.
    #[error("an RSA key of less than 1024 bits, which receivers refuse: create one of 2048 bits")]
    TooShort,
    #[error("not a selector: letters, digits, hyphens and dots, such as courier1")]
    Selector,
    #[error("not a domain such as example.com")]
    Domain,
    /// DMARC ignores a signature from an unaligned domain (RFC 7489 section 3.1.1).
    #[error(
        "must be the domain of email.from, a parent or a subdomain of it: \
         otherwise DMARC ignores the signature"
    )]
    NotAligned,
}

/// RFC 8301 section 3.2: signers must use, and verifiers must accept, no shorter key.
const MIN_RSA_BITS: usize = 1024;

/// Headers that a reader sees are listed twice, so that adding a second one breaks the signature
/// (RFC 6376 section 8.15).
const SIGNED_HEADERS: [&str; 16] = [
    "From",
    "From",
    "To",
    "To",
    "Subject",
    "Subject",
    "Date",
    "Date",
    "Reply-To",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "Feedback-ID",
];

/// A key in lettre's format (PKCS #1 for RSA, the bare seed for Ed25519), with its public key in
/// the format of the DNS record.
struct DkimKey {
    algorithm: Algorithm,
    signing: DkimSigningKey,
    public: String,
}

impl Dkim {
    /// Creates a signer for letters whose `From` address is in the domain `from`. The key is PEM,
    /// in PKCS #8 or PKCS #1.
    pub fn new(
        pem: &SecretString,
        selector: &str,
        domain: &str,
        from: &str,
    ) -> Result<Self, DkimError> {
        let (selector, domain) = (selector.to_ascii_lowercase(), domain.to_ascii_lowercase());
        if !is_dns_name(&selector) {
            return Err(DkimError::Selector);
        }
        if !is_dns_name(&domain) || !domain.contains('.') {
            return Err(DkimError::Domain);
        }
        if !is_aligned(&domain, &from.to_ascii_lowercase()) {
            return Err(DkimError::NotAligned);
        }
        let DkimKey { algorithm, signing, public } =
            DkimKey::parse(pem.expose_secret()).ok_or(DkimError::Key)?;
        if matches!(algorithm, Algorithm::Rsa { bits } if bits < MIN_RSA_BITS) {
            return Err(DkimError::TooShort);
        }
        let config = DkimConfig::new(
            selector.clone(),
            domain.clone(),
            signing,
            SIGNED_HEADERS.map(HeaderName::new_from_ascii_str).into(),
            DkimCanonicalization {
                header: DkimCanonicalizationType::Relaxed,
                body: DkimCanonicalizationType::Relaxed,
            },
        );
        Ok(Self(Arc::new(Signer { config, selector, domain, algorithm, public })))
    }

    /// Adds the signature header. Any later change to a signed header or the body invalidates it.
    pub fn sign(&self, message: &mut Message) {
        dkim_sign(message, &self.0.config);
    }

    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The DNS name of the public key: `<selector>._domainkey.<domain>`.
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.0.selector, self.0.domain)
    }

    /// The content of the TXT record at that name (RFC 6376 section 3.6.1).
    pub fn record(&self) -> String {
        let kind = match self.0.algorithm {
            Algorithm::Rsa { .. } => "rsa",
            Algorithm::Ed25519 => "ed25519",
        };
        format!("v=DKIM1; k={kind}; p={}", self.0.public)
    }
}

impl fmt::Debug for Dkim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dkim").field(&self.record_name()).finish()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA of {bits} bits"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

impl DkimKey {
    fn parse(pem: &str) -> Option<Self> {
        Self::rsa(pem).or_else(|| Self::ed25519(pem))
    }

    fn rsa(pem: &str) -> Option<Self> {
        let key = RsaPrivateKey::from_pkcs8_pem(pem)
            .ok()
            .or_else(|| RsaPrivateKey::from_pkcs1_pem(pem).ok())?;
        let public = RsaPublicKey::from(&key).to_public_key_der().ok()?;
        Some(Self {
            algorithm: Algorithm::Rsa { bits: key.n().bits() },
            signing: DkimSigningKey::new(
                &key.to_pkcs1_pem(LineEnding::LF).ok()?,
                DkimSigningAlgorithm::Rsa,
            )
            .ok()?,
            public: BASE64_STANDARD.encode(public.as_bytes()),
        })
    }

    fn ed25519(pem: &str) -> Option<Self> {
        let key = SigningKey::from_pkcs8_pem(pem).ok()?;
        let seed = BASE64_STANDARD.encode(key.as_bytes());
        Some(Self {
            algorithm: Algorithm::Ed25519,
            signing: DkimSigningKey::new(&seed, DkimSigningAlgorithm::Ed25519).ok()?,
            public: BASE64_STANDARD.encode(key.verifying_key().as_bytes()),
        })
    }
}

/// Relaxed DMARC alignment compares organizational domains, which requires the public suffix list.
/// This check accepts the case that needs no list: one domain contains the other.
fn is_aligned(domain: &str, from: &str) -> bool {
    let is_below =
        |one: &str, other: &str| one.strip_suffix(other).is_some_and(|rest| rest.ends_with('.'));
    domain == from || is_below(domain, from) || is_below(from, domain)
}

/// Labels of letters, digits, hyphens and underscores, separated by dots.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let belongs = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        // RFC 1035 section 2.3.4.
        (1..=63).contains(&label.len()) && label.bytes().all(belongs)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 section 10.3.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----";
    /// RFC 8410 section 10.1.
    const ED25519_PUBLIC: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

    fn dkim(pem: &str, selector: &str, domain: &str) -> Result<Dkim, DkimError> {
        Dkim::new(&SecretString::from(pem.to_owned()), selector, domain, "mail.rocket.example")
    }

    fn rsa_key(bits: usize) -> RsaPrivateKey {
        RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap()
    }

    #[test]
    fn the_record_has_the_public_key_and_debug_has_no_key() {
        let found = dkim(ED25519, "Courier1", "rocket.example").unwrap();
        assert_eq!(found.record_name(), "courier1._domainkey.rocket.example");
        assert_eq!(found.record(), format!("v=DKIM1; k=ed25519; p={ED25519_PUBLIC}"));
        assert_eq!(format!("{found:?}"), "Dkim(\"courier1._domainkey.rocket.example\")");
    }

    #[test]
    fn rsa_keys_may_be_pkcs8_or_pkcs1_but_not_short() {
        use rsa::pkcs8::EncodePrivateKey;
        let key = rsa_key(1024);
        let pems = [
            key.to_pkcs8_pem(LineEnding::LF).unwrap(),
            key.to_pkcs1_pem(LineEnding::CRLF).unwrap(),
        ];
        for pem in pems {
            let found = dkim(&pem, "s", "rocket.example").unwrap();
            assert_eq!(found.algorithm(), Algorithm::Rsa { bits: 1024 });
            let public = found.record().split_once("p=").unwrap().1.to_owned();
            let public = BASE64_STANDARD.decode(public).unwrap();
            assert_eq!(public, key.to_public_key().to_public_key_der().unwrap().as_bytes());
        }
        let short = rsa_key(512).to_pkcs8_pem(LineEnding::LF).unwrap();
        assert_eq!(dkim(&short, "s", "rocket.example").unwrap_err(), DkimError::TooShort);
    }

    #[test]
    fn invalid_or_unaligned_signing_settings_are_rejected() {
        for domain in ["mail.rocket.example", "rocket.example", "a.mail.rocket.example"] {
            assert!(dkim(ED25519, "s", domain).is_ok(), "{domain}");
        }
        for domain in ["rocket.test", "ocket.example", "other.rocket.example"] {
            assert_eq!(dkim(ED25519, "s", domain).unwrap_err(), DkimError::NotAligned, "{domain}");
        }
        for (selector, domain, error) in [
            ("", "rocket.example", DkimError::Selector),
            ("a b", "rocket.example", DkimError::Selector),
            ("a;d=evil.example", "rocket.example", DkimError::Selector),
            ("s", "example", DkimError::Domain),
            ("s", "rocket.example\r\nBcc: x", DkimError::Domain),
        ] {
            assert_eq!(
                dkim(ED25519, selector, domain).unwrap_err(),
                error,
                "{selector:?} {domain:?}"
            );
        }
        let public = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";
        for pem in ["", "hunter2", public, &ED25519[..80]] {
            assert_eq!(dkim(pem, "s", "rocket.example").unwrap_err(), DkimError::Key);
        }
    }
}
