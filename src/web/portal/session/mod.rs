//! A merchant's visit: opened by a token, carried by a cookie, over after a while.

mod store;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::token::Visit;
use super::{Portal, Settings};
use crate::format::locale::Language;
use crate::stripe::AccountId;

/// Who is looking.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) account: AccountId,
    /// As the dashboard said; none: as the browser says.
    pub(super) language: Option<Language>,
    /// Shows that an address was made by us for this visit. Not the session's secret, and of no use but that.
    pub(super) refresh_mark: String,
}

const SECRET_BYTES: usize = 32;
const MARK_BYTES: usize = 16;

impl Portal {
    /// Opens a session by a token, which is used up by that. None where it was used before.
    pub(super) async fn open(&self, visit: &Visit) -> sqlx::Result<Option<CookieJar>> {
        let now = self.clock.now();
        let secret: [u8; SECRET_BYTES] = rand::random();
        let mut tx = self.db.begin().await?;
        if !store::use_up(&mut *tx, &hash(visit.id.as_bytes()), visit.expires_at).await? {
            return Ok(None);
        }
        let opening = store::Opening {
            session_sha256: &hash(&secret),
            account_id: visit.account.as_str(),
            language: visit.language.map(Language::code),
            expires_at: now + self.settings.session,
        };
        store::open(&mut *tx, &opening, now).await?;
        store::forget_old(&mut tx, now).await?;
        tx.commit().await?;
        Ok(Some(self.cookie(&secret)))
    }

    /// The session that a request's cookie carries; of several the newest.
    pub(super) async fn session(&self, headers: &HeaderMap) -> sqlx::Result<Option<Session>> {
        // However many there are: a sibling domain can put its own in front, and a head has 32 KB at most.
        let hashes: Vec<Vec<u8>> =
            presented(headers, self.settings.cookie_name()).map(|secret| hash(&secret)).collect();
        if hashes.is_empty() {
            return Ok(None);
        }
        let found = store::find_newest(&self.db, &hashes, self.clock.now()).await?;
        Ok(found.and_then(|found| {
            let language = found.language.and_then(|code| code.parse().ok());
            let mark = hash(&[b"refresh ", &*found.session_sha256].concat());
            let refresh_mark = hex::encode(&mark[..MARK_BYTES]);
            Some(Session { account: found.account_id.parse().ok()?, language, refresh_mark })
        }))
    }

    /// Sent back on the way from the dashboard and from Stripe (`Lax`), and never read by a script.
    fn cookie(&self, secret: &[u8; SECRET_BYTES]) -> CookieJar {
        let settings = &self.settings;
        let name = settings.cookie_name();
        let path =
            if name.starts_with("__Host-") { "/".to_owned() } else { settings.path("/capital") };
        let cookie = Cookie::build((name, URL_SAFE_NO_PAD.encode(secret)))
            .path(path)
            .max_age(settings.session.try_into().unwrap_or_default())
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(settings.public_url.scheme() == "https");
        CookieJar::new().add(cookie)
    }
}

impl Settings {
    /// With `__Host-` a browser takes the cookie from this host alone, so that no sibling domain can put its own
    /// session, or many false ones, in front (RFC 6265bis section 4.1.3). That needs https and the path `/`, so it
    /// is for a service that has its host to itself; `__Secure-` at least keeps plain http out.
    fn cookie_name(&self) -> &'static str {
        match (self.public_url.scheme(), self.public_url.path()) {
            ("https", "/") => "__Host-courier_session",
            ("https", _) => "__Secure-courier_session",
            _ => "courier_session",
        }
    }
}

/// The secrets in all cookies of this name. A `CookieJar` would keep one of them.
fn presented(headers: &HeaderMap, name: &str) -> impl Iterator<Item = Vec<u8>> {
    let texts = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    let cookies = texts.flat_map(Cookie::split_parse).flatten();
    let cookies = cookies.filter(move |cookie| cookie.name() == name);
    let secrets = cookies.filter_map(|cookie| URL_SAFE_NO_PAD.decode(cookie.value()).ok());
    secrets.filter(|secret| secret.len() == SECRET_BYTES)
}

fn hash(secret: &[u8]) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
