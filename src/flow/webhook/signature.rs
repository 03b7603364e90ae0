//! Verifies the signature of a webhook (<https://docs.stripe.com/webhooks#verify-manually>).
//!
//! `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>…]`. The signed text is `<t>.<body>`, the key
//! of its HMAC-SHA256 is the whole secret, `whsec_` included. Where Stripe's own libraries
//! disagree:
//!
//! - Items may come in any order. Unknown ones (such as `v0`), empty ones and those without `=` are
//!   ignored. So are spaces around an item, except at the very end of the header, which all of
//!   Stripe's libraries reject.
//! - Exactly one `t` is required, a decimal number that fits 64 bits. A sign or leading zeros are
//!   harmless, because the signed text is built from the number.
//! - One valid `v1` under any of our secrets is enough. Hex digits may have either case; a `v1`
//!   that is not hex is ignored.
//! - The timestamp must be within the tolerance, in the past or the future. The signature is
//!   checked first, so that only holders of a secret learn the clock skew.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Stripe's headers have about 200 bytes, with two secrets about 270.
const MAX_HEADER_BYTES: usize = 4096;

/// Our secrets, as prepared HMAC keys.
#[derive(Clone)]
pub struct Secrets(Vec<(SecretId, Hmac<Sha256>)>);

/// Names a secret without telling anything about it: the first digits of its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretId(String);

impl SecretId {
    pub fn of(secret: &SecretString) -> Self {
        let hash = Sha256::digest(secret.expose_secret());
        Self(hex::encode(&hash[..4]))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// No secret is configured, or a blank one, which anyone could use to sign.
#[derive(Debug, thiserror::Error)]
#[error(
    "a webhook secret is missing or blank: set STRIPE_WEBHOOK_SECRET to the endpoint's whsec_…"
)]
pub struct NoSecret;

/// Why a body could not be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is absent or empty.
    #[error("no Stripe-Signature header")]
    Missing,
    /// The header is malformed.
    #[error("malformed Stripe-Signature header: {0}")]
    Header(&'static str),
    /// No signature matches our secrets: it is another endpoint's secret, or the body was changed.
    #[error(
        "none of the {signatures} signatures matches any of our {secrets} secrets: \
         another endpoint's secret, or a changed body"
    )]
    NoMatch {
        /// The number of `v1` items.
        signatures: usize,
        /// The number of our secrets.
        secrets: usize,
    },
    /// The signature matches, but its timestamp is too far off: a replay, or a wrong clock.
    #[error("signed {skew_seconds} s away from our clock")]
    OutsideTolerance {
        /// Our time minus the signature's.
        skew_seconds: i64,
    },
}

impl Secrets {
    /// Fails if there is no secret or one of them is blank.
    pub fn new(secrets: &[SecretString]) -> Result<Self, NoSecret> {
        let keyed = secrets.iter().map(|secret| {
            let id = SecretId::of(secret);
            let secret = secret.expose_secret();
            if secret.trim().is_empty() {
                return Err(NoSecret);
            }
            let keyed = Hmac::new_from_slice(secret.as_bytes()).map_err(|_| NoSecret)?;
            Ok((id, keyed))
        });
        let keyed = keyed.collect::<Result<Vec<_>, _>>()?;
        if keyed.is_empty() { Err(NoSecret) } else { Ok(Self(keyed)) }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Verifies that `body` was signed with one of our secrets at a time near `now`. Compares in
/// constant time.
pub fn verify(
    header: Option<&[u8]>,
    body: &[u8],
    secrets: &Secrets,
    now: DateTime<Utc>,
    tolerance: Duration,
) -> Result<(), SignatureError> {
    Header::parse(header)?.find_secret(body, secrets, now, tolerance).map(drop)
}

/// A well-formed header.
pub(super) struct Header {
    timestamp: i64,
    signatures: Vec<[u8; 32]>,
}

impl Header {
    /// Needs no body, so that a request without a well-formed header need not be read.
    pub(super) fn parse(header: Option<&[u8]>) -> Result<Self, SignatureError> {
        let header = header.unwrap_or_default();
        if header.is_empty() {
            return Err(SignatureError::Missing);
        }
        if header.len() > MAX_HEADER_BYTES {
            return Err(SignatureError::Header("too long"));
        }
        let mut timestamp = None;
        let mut signatures = Vec::new();
        let mut items = header.split(|byte| *byte == b',').peekable();
        while let Some(item) = items.next() {
            let item = item.trim_ascii_start();
            let item = if items.peek().is_some() { item.trim_ascii_end() } else { item };
            if let Some(value) = item.strip_prefix(b"t=") {
                let seconds = std::str::from_utf8(value)
                    .ok()
                    .and_then(|value| value.trim_start().parse::<i64>().ok());
                let seconds =
                    seconds.ok_or(SignatureError::Header("`t` is not a number of seconds"))?;
                if timestamp.replace(seconds).is_some() {
                    return Err(SignatureError::Header("more than one `t`"));
                }
            } else if let Some(value) = item.strip_prefix(b"v1=") {
                let mut signature = [0; 32];
                let is_hex =
                    value.len() == 64 && hex::decode_to_slice(value, &mut signature).is_ok();
                if is_hex {
                    signatures.push(signature);
                }
            }
        }
        match timestamp {
            None => Err(SignatureError::Header("no `t`")),
            Some(_) if signatures.is_empty() => {
                Err(SignatureError::Header("no `v1` of 64 hexadecimal digits"))
            }
            Some(timestamp) => Ok(Self { timestamp, signatures }),
        }
    }

    /// As [`verify`], and returns the secret that signed the body.
    pub(super) fn find_secret<'a>(
        &self,
        body: &[u8],
        secrets: &'a Secrets,
        now: DateTime<Utc>,
        tolerance: Duration,
    ) -> Result<&'a SecretId, SignatureError> {
        let prefix = format!("{}.", self.timestamp);
        let signer = secrets.0.iter().find(|(_, keyed)| {
            let mac = keyed.clone().chain_update(prefix.as_bytes()).chain_update(body).finalize();
            self.signatures.iter().any(|signature| mac == CtOutput::new((*signature).into()))
        });
        let Some((secret_id, _)) = signer else {
            return Err(SignatureError::NoMatch {
                signatures: self.signatures.len(),
                secrets: secrets.0.len(),
            });
        };
        let skew_seconds = now.timestamp().saturating_sub(self.timestamp);
        if skew_seconds.unsigned_abs() > tolerance.as_secs() {
            return Err(SignatureError::OutsideTolerance { skew_seconds });
        }
        Ok(secret_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "whsec_test_secret";
    const NOW: i64 = 1_700_000_000;
    const TOLERANCE: Duration = Duration::from_mins(5);

    fn secrets(all: &[&str]) -> Secrets {
        let all: Vec<SecretString> = all.iter().map(|secret| SecretString::from(*secret)).collect();
        Secrets::new(&all).unwrap()
    }

    fn sign(secret: &str, timestamp: i64, body: &[u8]) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        let mac = mac.chain_update(format!("{timestamp}.")).chain_update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    fn check(header: &[u8], body: &[u8], ours: &[&str]) -> Result<(), SignatureError> {
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        verify(Some(header), body, &secrets(ours), now, TOLERANCE)
    }

    #[test]
    fn the_known_answer_of_stripes_libraries_matches() {
        let body = b"{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";
        assert_eq!(
            sign(SECRET, NOW, body),
            "4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150"
        );
    }

    #[test]
    fn a_missing_or_blank_secret_is_rejected() {
        for bad in [&[][..], &[""], &["  "], &["whsec_a", ""]] {
            let bad: Vec<SecretString> =
                bad.iter().map(|secret| SecretString::from(*secret)).collect();
            assert!(Secrets::new(&bad).is_err());
        }
    }

    #[test]
    fn while_a_secret_is_rolled_either_secret_verifies() {
        let (old, new) = (sign("whsec_old", NOW, b"body"), sign("whsec_new", NOW, b"body"));
        let both = format!("t={NOW},v1={new},v1={old}");
        for ours in [
            &["whsec_old"][..],
            &["whsec_new"],
            &["whsec_x", "whsec_old"],
            &["whsec_new", "whsec_x"],
        ] {
            assert_eq!(check(both.as_bytes(), b"body", ours), Ok(()));
        }
        assert_eq!(
            check(both.as_bytes(), b"body", &["whsec_x"]),
            Err(SignatureError::NoMatch { signatures: 2, secrets: 1 })
        );
    }

    #[test]
    fn the_timestamp_may_differ_by_the_tolerance() {
        for (off, good) in
            [(300, true), (-300, true), (301, false), (-301, false), (i64::MIN / 2, false)]
        {
            let signed_at = NOW - off;
            let header = format!("t={signed_at},v1={}", sign(SECRET, signed_at, b"body"));
            let expected = if good {
                Ok(())
            } else {
                Err(SignatureError::OutsideTolerance { skew_seconds: off })
            };
            assert_eq!(check(header.as_bytes(), b"body", &[SECRET]), expected, "{off} s off");
        }
    }

    #[test]
    fn a_header_needs_one_timestamp_and_a_signature() {
        let v1 = sign(SECRET, NOW, b"body");
        for bad in [
            format!("v1={v1}"),
            format!("t={NOW}"),
            format!("t={NOW},t={NOW},v1={v1}"),
            format!("t={NOW}.5,v1={v1}"),
            format!("t={NOW}abc,v1={v1}"),
            format!("t=,v1={v1}"),
            format!("t=99999999999999999999,v1={v1}"),
            format!("t={NOW},v0={v1}"),
            format!("t={NOW},v1={}", &v1[2..]),
            format!("t={NOW},v1=0x{v1}"),
            "x".repeat(5000),
        ] {
            assert!(
                matches!(check(bad.as_bytes(), b"body", &[SECRET]), Err(SignatureError::Header(_))),
                "{bad}"
            );
        }
        assert_eq!(check(b"", b"body", &[SECRET]), Err(SignatureError::Missing));
    }

    proptest! {
        #[test]
        fn other_items_in_the_header_are_ignored(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            first in any::<bool>(),
            upper in any::<bool>(),
            noise in proptest::sample::select(
                vec!["", "v0=abc", " v2=x ", "v1=beef", "nonsense", "v1=\u{e9}"],
            ),
        ) {
            let v1 = sign(SECRET, NOW, &body);
            let v1 = if upper { v1.to_uppercase() } else { v1 };
            let header = if first {
                format!("v1={v1} ,{noise}, t={NOW}")
            } else {
                format!("t={NOW},{noise},v1={v1}")
            };
            prop_assert_eq!(check(header.as_bytes(), &body, &[SECRET]), Ok(()));
        }

        #[test]
        fn one_flipped_bit_is_refused(
            body in proptest::collection::vec(any::<u8>(), 1..300),
            place in any::<proptest::sample::Index>(),
            bit in 0..8u8,
        ) {
            let header = format!("t={NOW},v1={}", sign(SECRET, NOW, &body));
            let mut changed = body.clone();
            changed[place.index(body.len())] ^= 1 << bit;
            prop_assert!(check(header.as_bytes(), &changed, &[SECRET]).is_err());

            let mut other = header.clone().into_bytes();
            let at = place.index(other.len());
            other[at] ^= 1 << bit;
            // Upper and lower case of a hexadecimal digit differ in one bit and mean the same.
            if !other.eq_ignore_ascii_case(header.as_bytes()) {
                prop_assert!(check(&other, &body, &[SECRET]).is_err());
            }
        }

        #[test]
        fn no_header_causes_a_panic(header in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = check(&header, b"body", &[SECRET]);
        }
    }
}
