//! The dashboard's sign-in token: a JWT (RFC 7519), signed for a single use.
//!
//! | claim | |
//! |---|---|
//! | `sub` | the connected account, `acct_…` |
//! | `aud` | `portal.token_audience` |
//! | `exp` | Unix seconds; at most five minutes ahead |
//! | `iat` | time of signing, at most five minutes before `exp`; optional |
//! | `nbf` | valid from; optional |
//! | `jti` | unique: a token starts one session |
//! | `lang` | a language tag; optional |
//!
//! Without `iat`, a token that was signed long ago with a late `exp` cannot be told from a fresh
//! one in its last five minutes.
//!
//! Signed with HS256 and `portal.token_secret`, or with Ed25519 if `portal.token_public_key` is
//! set. The settings decide which, never the token's header.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::format::locale::Language;
use crate::stripe::AccountId;

#[derive(Clone)]
pub struct Keys {
    key: DecodingKey,
    validation: Validation,
}

/// The verified claims of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VerifiedToken {
    pub(super) account: AccountId,
    pub(super) language: Option<Language>,
    /// The `jti`.
    pub(super) id: String,
    pub(super) expires_at: DateTime<Utc>,
}

/// Why a token was rejected. Logged for the platform's engineers; the merchant is only asked to
/// sign in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadToken {
    #[error("not a token, or its signature, algorithm or `aud` is wrong: {0}")]
    Unverified(String),
    #[error("its header has `{0}`, which is not supported")]
    CriticalHeader(&'static str),
    #[error("`exp` is in the past")]
    Expired,
    #[error("`exp` is more than five minutes ahead, or that long after `iat`")]
    TooLong,
    #[error("`iat` is in the future")]
    SignedInTheFuture,
    #[error("`nbf` is in the future")]
    NotYetValid,
    #[error("`sub` is not an account id")]
    BadAccount,
    #[error("`jti` is empty or too long")]
    BadId,
}

#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 public key in PEM")]
pub struct BadPublicKey(#[source] jsonwebtoken::errors::Error);

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: NumericDate,
    iat: Option<NumericDate>,
    nbf: Option<NumericDate>,
    jti: String,
    lang: Option<String>,
}

/// Seconds since the epoch; a fraction, which RFC 7519 (section 2) allows, is dropped.
#[derive(Clone, Copy, Deserialize)]
#[serde(from = "f64")]
struct NumericDate(i64);

/// Longest lifetime in seconds: enough for a redirect.
const MAX_LIFETIME: i64 = 5 * 60;
/// Tolerated clock difference in seconds.
const LEEWAY: i64 = 10;
const MAX_ID_BYTES: usize = 256;

impl From<f64> for NumericDate {
    fn from(seconds: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates: such a time is out of range anyway"
        )]
        Self(seconds as i64)
    }
}

impl NumericDate {
    /// Seconds from `other` to `self`.
    fn seconds_after(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("algorithms", &self.validation.algorithms)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Verifies tokens for `audience` that are signed with this secret (HS256).
    pub fn shared(secret: &SecretString, audience: &str) -> Self {
        let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
        Self { key, validation: validation(Algorithm::HS256, audience) }
    }

    /// Verifies tokens for `audience` that are signed with the private half of this key (Ed25519).
    pub fn public(pem: &str, audience: &str) -> Result<Self, BadPublicKey> {
        let key = DecodingKey::from_ed_pem(pem.as_bytes()).map_err(BadPublicKey)?;
        Ok(Self { key, validation: validation(Algorithm::EdDSA, audience) })
    }

    /// For the fuzz targets.
    #[doc(hidden)]
    pub fn accepts(&self, token: &str, now: DateTime<Utc>) -> bool {
        self.verify(token, now).is_ok()
    }

    pub(super) fn verify(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, BadToken> {
        let decoded = decode::<Claims>(token, &self.key, &self.validation);
        let claims = decoded.map_err(|error| BadToken::Unverified(error.to_string()))?.claims;
        reject_extensions(token)?;
        claims.check_times(NumericDate(now.timestamp()))?;
        let expires_at = DateTime::from_timestamp(claims.exp.0, 0).ok_or(BadToken::TooLong)?;
        let account = claims.sub.parse().map_err(|_| BadToken::BadAccount)?;
        if claims.jti.is_empty() || claims.jti.len() > MAX_ID_BYTES {
            return Err(BadToken::BadId);
        }
        let tag = claims.lang.as_deref().and_then(|tag| tag.split(['-', '_']).next());
        let language = tag.and_then(|tag| tag.parse().ok());
        Ok(VerifiedToken { account, language, id: claims.jti, expires_at })
    }
}

/// Rejects a token whose header changes its meaning. `crit` names extensions that a recipient must
/// understand (RFC 7515 section 4.1.11), and this one supports none; `b64` changes the encoding of
/// the payload (RFC 7797); `zip` means that it is compressed. `jsonwebtoken` ignores all three.
fn reject_extensions(token: &str) -> Result<(), BadToken> {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let parameters =
        header.and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
    let Some(parameters) = parameters else {
        return Err(BadToken::Unverified("its header is not an object".to_owned()));
    };
    match ["crit", "b64", "zip"].into_iter().find(|name| parameters.contains_key(*name)) {
        Some(name) => Err(BadToken::CriticalHeader(name)),
        None => Ok(()),
    }
}

impl Claims {
    /// Checks the times.
    fn check_times(&self, now: NumericDate) -> Result<(), BadToken> {
        let remaining = self.exp.seconds_after(now);
        let lifetime = self.iat.map_or(remaining, |signed| self.exp.seconds_after(signed));
        let is_ahead =
            |time: Option<NumericDate>| time.is_some_and(|time| time.seconds_after(now) > LEEWAY);
        if remaining < -LEEWAY {
            Err(BadToken::Expired)
        } else if remaining.max(lifetime) > MAX_LIFETIME + LEEWAY {
            Err(BadToken::TooLong)
        } else if is_ahead(self.iat) {
            Err(BadToken::SignedInTheFuture)
        } else if is_ahead(self.nbf) {
            Err(BadToken::NotYetValid)
        } else {
            Ok(())
        }
    }
}

/// `jsonwebtoken` would use the machine's clock; [`Claims::check_times`] uses the service's.
fn validation(algorithm: Algorithm, audience: &str) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: i64 = 1_800_000_000;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(NOW, 0).unwrap()
    }

    fn claims() -> Value {
        json!({
            "sub": "acct_1", "aud": "capital-courier", "exp": NOW + 60, "jti": "one",
            "lang": "de-AT",
        })
    }

    fn read(claims: &Value) -> Result<VerifiedToken, BadToken> {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = encode(&Header::new(Algorithm::HS256), claims, &key).unwrap();
        Keys::shared(&SECRET.to_owned().into(), "capital-courier").verify(&token, now())
    }

    #[test]
    fn a_token_names_an_account_and_a_language_for_five_minutes_at_most() {
        let visit = read(&claims()).unwrap();
        assert_eq!((visit.account.as_str(), visit.language), ("acct_1", Some(Language::German)));
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            read(&claims)
        };
        assert_eq!(with("exp", json!(NOW - 11)), Err(BadToken::Expired));
        assert_eq!(with("exp", json!(NOW + 311)), Err(BadToken::TooLong));
        assert_eq!(with("exp", json!(i64::MAX)), Err(BadToken::TooLong));
        assert_eq!(with("sub", json!("cus_1")), Err(BadToken::BadAccount));
        assert_eq!(with("jti", json!("")), Err(BadToken::BadId));
        assert_eq!(with("lang", json!("xx")).unwrap().language, None);
        assert!(matches!(with("aud", json!("another-service")), Err(BadToken::Unverified(_))));
        for missing in ["sub", "aud", "exp", "jti"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(missing);
            assert!(matches!(read(&claims), Err(BadToken::Unverified(_))), "without {missing}");
        }
    }

    #[test]
    fn a_long_lived_token_is_rejected_even_in_its_last_minutes() {
        let at = |exp: i64, more: &[(&str, Value)]| {
            let mut claims = claims();
            claims["exp"] = json!(NOW + exp);
            for (name, value) in more {
                claims[*name] = value.clone();
            }
            read(&claims).map(|visit| visit.expires_at.timestamp() - NOW)
        };
        let day = 24 * 3600;
        assert_eq!(at(60, &[("iat", json!(NOW + 60 - day))]), Err(BadToken::TooLong));
        assert_eq!(at(60, &[("iat", json!(NOW + 60 - 311))]), Err(BadToken::TooLong));
        assert_eq!(at(60, &[("iat", json!(NOW + 60 - 310))]), Ok(60));
        // The dashboard's clock may be ahead of ours.
        assert_eq!(at(70, &[("iat", json!(NOW + 10)), ("nbf", json!(NOW + 10))]), Ok(70));
        assert_eq!(at(70, &[("iat", json!(NOW + 11))]), Err(BadToken::SignedInTheFuture));
        assert_eq!(at(70, &[("nbf", json!(NOW + 11))]), Err(BadToken::NotYetValid));
        // `time.time()` has a fraction.
        assert_eq!(at(60, &[("iat", json!(1_800_000_000.75)), ("nbf", Value::Null)]), Ok(60));
        assert!(matches!(at(60, &[("iat", json!("yesterday"))]), Err(BadToken::Unverified(_))));
    }

    #[test]
    fn extreme_times_are_rejected_without_overflow() {
        for exp in [8_210_266_876_799, 8_210_266_876_800, i64::MAX - 1] {
            for iat in [json!(i64::MIN), json!(i64::MAX), json!(1e300), json!(-1e300), Value::Null]
            {
                let claims = json!({
                    "sub": "acct_1", "aud": "capital-courier", "exp": exp, "jti": "one", "iat": iat
                });
                assert_eq!(read(&claims), Err(BadToken::TooLong), "{claims}");
            }
        }
        let mut signed_long_ago = claims();
        signed_long_ago["exp"] = json!(NOW);
        signed_long_ago["iat"] = json!(i64::MIN);
        assert_eq!(read(&signed_long_ago), Err(BadToken::TooLong));
    }

    #[test]
    fn a_token_with_another_algorithm_is_rejected() {
        let keys = Keys::shared(&SECRET.to_owned().into(), "capital-courier");
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let other = encode(&Header::new(Algorithm::HS512), &claims(), &key).unwrap();
        assert!(matches!(keys.verify(&other, now()), Err(BadToken::Unverified(_))));
        // `{"alg":"none"}`
        let body = other.split('.').nth(1).unwrap();
        for unsigned in [
            format!("eyJhbGciOiJub25lIn0.{body}."),
            format!("eyJhbGciOiJub25lIn0.{body}"),
            String::new(),
        ] {
            assert!(matches!(keys.verify(&unsigned, now()), Err(BadToken::Unverified(_))));
        }
    }

    #[test]
    fn a_token_whose_header_changes_its_meaning_is_rejected() {
        use hmac::{Hmac, KeyInit, Mac};
        let read = |header: &Value| {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(&claims()));
            let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
            let signature = mac.chain_update(&signed).finalize().into_bytes();
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            Keys::shared(&SECRET.to_owned().into(), "capital-courier").verify(&token, now())
        };
        assert!(read(&json!({"alg": "HS256", "typ": "JWT", "kid": "1"})).is_ok());
        for (name, value) in [
            ("crit", json!(["exp"])),
            ("crit", json!(["https://rocket.example/only-for-reports"])),
            ("crit", json!([])),
            ("crit", Value::Null),
            ("b64", json!(true)),
            ("b64", json!(false)),
            ("zip", json!("DEF")),
        ] {
            let mut header = json!({"alg": "HS256"});
            header[name] = value;
            let refused = read(&header).unwrap_err();
            // `jsonwebtoken` may reject the value itself.
            let known = matches!(refused, BadToken::CriticalHeader(_) | BadToken::Unverified(_));
            assert!(known, "{header}: {refused}");
        }
    }

    #[test]
    fn a_token_can_be_signed_with_ed25519() {
        use ed25519_dalek::SigningKey;
        use ed25519_dalek::pkcs8::EncodePrivateKey;
        use ed25519_dalek::pkcs8::spki::EncodePublicKey;
        use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
        let pair = SigningKey::from_bytes(&[7; 32]);
        let public = pair.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
        let private = pair.to_pkcs8_pem(LineEnding::LF).unwrap();
        let signer = EncodingKey::from_ed_pem(private.as_bytes()).unwrap();
        let token = encode(&Header::new(Algorithm::EdDSA), &claims(), &signer).unwrap();
        let keys = Keys::public(&public, "capital-courier").unwrap();
        assert_eq!(keys.verify(&token, now()).unwrap().account.as_str(), "acct_1");
        // The public key is no secret: nothing may be signed with it.
        let forged = EncodingKey::from_secret(public.as_bytes());
        let forged = encode(&Header::new(Algorithm::HS256), &claims(), &forged).unwrap();
        assert!(matches!(keys.verify(&forged, now()), Err(BadToken::Unverified(_))));
        assert!(Keys::public("none", "capital-courier").is_err());
    }
}
