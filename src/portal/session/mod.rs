//! A merchant's visit: opened by a token, carried by a cookie, over after a while.

mod store;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::Portal;
use super::token::Visit;
use crate::locale::Language;
use crate::stripe::AccountId;

/// Who is looking.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) account: AccountId,
    /// As the dashboard said; none: as the browser says.
    pub(super) language: Option<Language>,
}

const COOKIE_NAME: &str = "courier_session";
const SECRET_BYTES: usize = 32;
/// A browser can have several of one name, of other paths, and sends them all. More than a handful nobody has by accident.
const MOST_COOKIES: usize = 5;

impl Portal {
    /// Opens a session by a token, which is used up by that. None where it was used before.
    pub(super) async fn open(&self, visit: &Visit) -> sqlx::Result<Option<HeaderValue>> {
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
        let hashes: Vec<Vec<u8>> = presented(headers).map(|secret| hash(&secret)).collect();
        if hashes.is_empty() {
            return Ok(None);
        }
        let found = store::find_newest(&self.db, &hashes, self.clock.now()).await?;
        Ok(found.and_then(|(account, language)| {
            let language = language.and_then(|code| code.parse().ok());
            Some(Session { account: account.parse().ok()?, language })
        }))
    }

    /// Sent back on the way from the dashboard and from Stripe (`Lax`), and never read by a script.
    fn cookie(&self, secret: &[u8; SECRET_BYTES]) -> HeaderValue {
        let secure = if self.settings.public_url.scheme() == "https" { "; Secure" } else { "" };
        let age = self.settings.session.as_secs();
        let path = self.settings.path("/capital");
        let value = format!(
            "{COOKIE_NAME}={}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}",
            URL_SAFE_NO_PAD.encode(secret)
        );
        HeaderValue::from_str(&value).expect("base64, numbers and the path of a URL are plain ASCII")
    }
}

/// With the header's name.
pub(super) fn set(cookie: HeaderValue) -> [(axum::http::HeaderName, HeaderValue); 1] {
    [(SET_COOKIE, cookie)]
}

/// What could be secrets of ours.
fn presented(headers: &HeaderMap) -> impl Iterator<Item = Vec<u8>> {
    let pairs = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    let pairs = pairs.flat_map(|header| header.split(';'));
    let values = pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    let secrets = values.filter_map(|value| URL_SAFE_NO_PAD.decode(value).ok());
    secrets.filter(|secret| secret.len() == SECRET_BYTES).take(MOST_COOKIES)
}

fn hash(secret: &[u8]) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
