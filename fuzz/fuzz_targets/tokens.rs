//! Tokens: the input as it is, and as the claims of a token with a good signature.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use capital_courier_fuzz::{TOKEN_SECRET, token};
use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The time that the seeds are made for.
const NOW: i64 = 1_795_521_600;

libfuzzer_sys::fuzz_target!(|given: &str| {
    token(given, &signed(given), DateTime::from_timestamp(NOW, 0).expect("a constant time"));
});

fn signed(claims: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let mut mac =
        Hmac::<Sha256>::new_from_slice(TOKEN_SECRET.as_bytes()).expect("any length will do");
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
