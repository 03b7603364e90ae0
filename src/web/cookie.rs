//! Session cookies: 32 random bytes. The database keeps their hash.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum_extra::extract::cookie::Cookie;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

pub(super) type SessionSecret = [u8; 32];

/// The secrets of all cookies of this name; a `CookieJar` would keep only one.
pub(super) fn presented(headers: &HeaderMap, name: &str) -> impl Iterator<Item = SessionSecret> {
    let texts = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    let cookies = texts.flat_map(Cookie::split_parse).flatten();
    let cookies = cookies.filter(move |cookie| cookie.name() == name);
    let secrets = cookies.filter_map(|cookie| URL_SAFE_NO_PAD.decode(cookie.value()).ok());
    secrets.filter_map(|secret| secret.try_into().ok())
}

/// The value of the cookie that carries this secret.
pub(super) fn encode(secret: &SessionSecret) -> String {
    URL_SAFE_NO_PAD.encode(secret)
}

pub(super) fn hash(secret: &[u8]) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
