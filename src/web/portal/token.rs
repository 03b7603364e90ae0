//! The token by which the platform's dashboard hands a merchant over: a JWT (RFC 7519), signed for this one visit.
//!
//! | claim | |
//! |---|---|
//! | `sub` | the connected account, `acct_…` |
//! | `aud` | `portal.token_audience` |
//! | `exp` | Unix seconds; at most five minutes ahead |
//! | `iat` | when it was signed, at most five minutes before `exp`; not needed |
//! | `nbf` | from when on it holds; not needed |
//! | `jti` | anything that was never used before: a token opens one session |
//! | `lang` | a language tag; not needed |
//!
//! Without `iat` nobody can tell a token that was signed for long, and lay about until its last five minutes.
//!
//! Signed with HS256 and `portal.token_secret`, or with Ed25519 where `portal.token_public_key` is set. The settings choose between the
//! two, never the token's own header.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::format::locale::Language;
use crate::stripe::AccountId;

/// What tokens are verified with.
#[derive(Clone)]
pub struct Keys {
    key: DecodingKey,
    validation: Validation,
}

/// A token that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) account: AccountId,
    pub(super) language: Option<Language>,
    /// What makes the token this one.
    pub(super) id: String,
    pub(super) expires_at: DateTime<Utc>,
}

/// Why a token opens nothing. Told to the log of the platform's engineers, not to the merchant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadToken {
    #[error("it is no token, or its signature, its algorithm or its `aud` is wrong: {0}")]
    Unverified(String),
    #[error("its header has `{0}`, which is not understood here")]
    CriticalHeader(&'static str),
    #[error("`exp` is over")]
    Expired,
    #[error("`exp` is more than five minutes ahead, or that long after `iat`")]
    TooLong,
    #[error("`iat` is in the future")]
    SignedInTheFuture,
    #[error("`nbf` is in the future")]
    TooEarly,
    #[error("`sub` is no account")]
    NoAccount,
    #[error("`jti` is empty or too long")]
    NoId,
}

/// The key is none.
#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 public key in PEM")]
pub struct NotAKey(#[source] jsonwebtoken::errors::Error);

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: NumericDate,
    iat: Option<NumericDate>,
    nbf: Option<NumericDate>,
    jti: String,
    lang: Option<String>,
}

/// Seconds since the epoch; a fraction, which RFC 7519 (section 2) allows, is let go.
#[derive(Clone, Copy, Deserialize)]
#[serde(from = "f64")]
struct NumericDate(i64);

/// From the signing to the opening, in seconds: a redirect.
const LONGEST: i64 = 5 * 60;
/// By how many seconds two clocks may differ.
const LEEWAY: i64 = 10;
const MAX_ID: usize = 256;

impl From<f64> for NumericDate {
    fn from(seconds: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is beyond becomes the end: too far off all the same"
        )]
        Self(seconds as i64)
    }
}

impl NumericDate {
    /// In how many seconds that is.
    fn ahead_of(self, other: Self) -> i64 {
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
    /// Tokens for `audience` that are signed with this secret.
    pub fn shared(secret: &SecretString, audience: &str) -> Self {
        let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
        Self { key, validation: validation(Algorithm::HS256, audience) }
    }

    /// Tokens for `audience` that are signed with the other half of this key.
    pub fn public(pem: &str, audience: &str) -> Result<Self, NotAKey> {
        let key = DecodingKey::from_ed_pem(pem.as_bytes()).map_err(NotAKey)?;
        Ok(Self { key, validation: validation(Algorithm::EdDSA, audience) })
    }

    /// Whether a token would open a session. For fuzzing.
    pub(crate) fn opens(&self, token: &str, now: DateTime<Utc>) -> bool {
        self.read(token, now).is_ok()
    }

    /// Verifies a token.
    pub(super) fn read(&self, token: &str, now: DateTime<Utc>) -> Result<Visit, BadToken> {
        let decoded = decode::<Claims>(token, &self.key, &self.validation);
        let claims = decoded.map_err(|error| BadToken::Unverified(error.to_string()))?.claims;
        refuse_critical(token)?;
        claims.hold(NumericDate(now.timestamp()))?;
        let expires_at = DateTime::from_timestamp(claims.exp.0, 0).ok_or(BadToken::TooLong)?;
        let account = claims.sub.parse().map_err(|_| BadToken::NoAccount)?;
        if claims.jti.is_empty() || claims.jti.len() > MAX_ID {
            return Err(BadToken::NoId);
        }
        let tag = claims.lang.as_deref().and_then(|tag| tag.split(['-', '_']).next());
        let language = tag.and_then(|tag| tag.parse().ok());
        Ok(Visit { account, language, id: claims.jti, expires_at })
    }
}

/// Refuses a token whose header changes what it means. `crit` names parameters that must be understood, and we
/// understand none (RFC 7515 section 4.1.11); `b64` says how the payload is written (RFC 7797), and `zip` that it is
/// compressed. `jsonwebtoken` passes over all three.
fn refuse_critical(token: &str) -> Result<(), BadToken> {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let parameters =
        header.and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
    let Some(parameters) = parameters else {
        return Err(BadToken::Unverified("its header is no object".to_owned()));
    };
    match ["crit", "b64", "zip"].into_iter().find(|name| parameters.contains_key(*name)) {
        Some(name) => Err(BadToken::CriticalHeader(name)),
        None => Ok(()),
    }
}

impl Claims {
    /// Whether it is time.
    fn hold(&self, now: NumericDate) -> Result<(), BadToken> {
        let left = self.exp.ahead_of(now);
        let lasts = self.iat.map_or(left, |signed| self.exp.ahead_of(signed));
        let is_ahead = |moment: Option<NumericDate>| {
            moment.is_some_and(|moment| moment.ahead_of(now) > LEEWAY)
        };
        if left < -LEEWAY {
            Err(BadToken::Expired)
        } else if left.max(lasts) > LONGEST + LEEWAY {
            Err(BadToken::TooLong)
        } else if is_ahead(self.iat) {
            Err(BadToken::SignedInTheFuture)
        } else if is_ahead(self.nbf) {
            Err(BadToken::TooEarly)
        } else {
            Ok(())
        }
    }
}

/// The times are compared with the service's own clock, above.
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
        json!({"sub": "acct_1", "aud": "capital-courier", "exp": NOW + 60, "jti": "one", "lang": "de-AT"})
    }

    fn read(claims: &Value) -> Result<Visit, BadToken> {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = encode(&Header::new(Algorithm::HS256), claims, &key).unwrap();
        Keys::shared(&SECRET.to_owned().into(), "capital-courier").read(&token, now())
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
        assert_eq!(with("sub", json!("cus_1")), Err(BadToken::NoAccount));
        assert_eq!(with("jti", json!("")), Err(BadToken::NoId));
        assert_eq!(with("lang", json!("xx")).unwrap().language, None);
        assert!(matches!(with("aud", json!("somebody")), Err(BadToken::Unverified(_))));
        for missing in ["sub", "aud", "exp", "jti"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(missing);
            assert!(matches!(read(&claims), Err(BadToken::Unverified(_))), "without {missing}");
        }
    }

    #[test]
    fn a_token_that_was_signed_for_long_opens_nothing_in_its_last_minutes() {
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
        assert_eq!(at(70, &[("nbf", json!(NOW + 11))]), Err(BadToken::TooEarly));
        // `time.time()` has a fraction.
        assert_eq!(at(60, &[("iat", json!(1_800_000_000.75)), ("nbf", Value::Null)]), Ok(60));
        assert!(matches!(at(60, &[("iat", json!("yesterday"))]), Err(BadToken::Unverified(_))));
    }

    #[test]
    fn a_time_at_the_end_of_all_times_is_a_time_like_any_other() {
        for exp in [8_210_266_876_799, 8_210_266_876_800, i64::MAX - 1] {
            for iat in [json!(i64::MIN), json!(i64::MAX), json!(1e300), json!(-1e300), Value::Null]
            {
                let claims = json!({"sub": "acct_1", "aud": "capital-courier", "exp": exp, "jti": "one", "iat": iat});
                assert_eq!(read(&claims), Err(BadToken::TooLong), "{claims}");
            }
        }
        assert_eq!(
            read(
                &json!({"sub": "acct_1", "aud": "capital-courier", "exp": NOW, "jti": "one", "iat": i64::MIN})
            ),
            Err(BadToken::TooLong)
        );
    }

    #[test]
    fn a_token_that_chooses_its_own_algorithm_opens_nothing() {
        let keys = Keys::shared(&SECRET.to_owned().into(), "capital-courier");
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let other = encode(&Header::new(Algorithm::HS512), &claims(), &key).unwrap();
        assert!(matches!(keys.read(&other, now()), Err(BadToken::Unverified(_))));
        // `{"alg":"none"}`
        let body = other.split('.').nth(1).unwrap();
        for unsigned in [
            format!("eyJhbGciOiJub25lIn0.{body}."),
            format!("eyJhbGciOiJub25lIn0.{body}"),
            String::new(),
        ] {
            assert!(matches!(keys.read(&unsigned, now()), Err(BadToken::Unverified(_))));
        }
    }

    #[test]
    fn a_token_whose_header_changes_what_it_means_opens_nothing() {
        use hmac::{Hmac, KeyInit, Mac};
        let read = |header: &Value| {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(&claims()));
            let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
            let signature = mac.chain_update(&signed).finalize().into_bytes();
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            Keys::shared(&SECRET.to_owned().into(), "capital-courier").read(&token, now())
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
            // Where the crate refuses the value already, that is as good.
            let known = matches!(refused, BadToken::CriticalHeader(_) | BadToken::Unverified(_));
            assert!(known, "{header}: {refused}");
        }
    }

    #[test]
    fn a_token_can_be_signed_with_a_key_that_only_the_dashboard_has() {
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
        assert_eq!(keys.read(&token, now()).unwrap().account.as_str(), "acct_1");
        // The public key is no secret: nothing may be signed with it.
        let forged = EncodingKey::from_secret(public.as_bytes());
        let forged = encode(&Header::new(Algorithm::HS256), &claims(), &forged).unwrap();
        assert!(matches!(keys.read(&forged, now()), Err(BadToken::Unverified(_))));
        assert!(Keys::public("none", "capital-courier").is_err());
    }
}
