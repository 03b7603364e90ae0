//! Sessions: started by a dashboard token, carried by a cookie, of limited lifetime.

mod store;

use axum::http::HeaderMap;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use super::token::VerifiedToken;
use super::{Portal, Settings};
use crate::format::locale::Language;
use crate::stripe::AccountId;
use crate::web::cookie::{self, SessionSecret, hash, presented};

pub use store::{SessionSummary, end_sessions, export_sessions, has_session, sessions_of_account};

/// A valid session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) account: AccountId,
    /// As the token said; `None` for the browser's language.
    pub(super) language: Option<Language>,
    /// Proves that a URL was made for this session. Derived from the session, and of no other use.
    pub(super) refresh_mark: String,
}

const MARK_BYTES: usize = 16;

impl Portal {
    /// Redeems a token and starts a session; returns its cookie. `None` if the token was redeemed
    /// before.
    pub(super) async fn open_session(
        &self,
        token: &VerifiedToken,
    ) -> sqlx::Result<Option<CookieJar>> {
        let now = self.clock.now();
        let secret: SessionSecret = rand::random();
        // One transaction: a crash between the two must not use up the token without a session.
        let mut tx = self.db.begin().await?;
        if !store::redeem_token(&mut *tx, &hash(token.id.as_bytes()), token.expires_at).await? {
            return Ok(None);
        }
        let session = store::NewSession {
            session_sha256: &hash(&secret),
            account_id: token.account.as_str(),
            language: token.language.map(Language::code),
            expires_at: now + self.settings.session,
        };
        store::insert(&mut *tx, &session, now).await?;
        store::delete_expired(&mut tx, now).await?;
        tx.commit().await?;
        Ok(Some(self.cookie(&secret)))
    }

    /// The session of the request's cookie; if there are several cookies, the newest session.
    pub(super) async fn session(&self, headers: &HeaderMap) -> sqlx::Result<Option<Session>> {
        // All of them: a sibling domain can put its own cookie in front. The size limit of headers,
        // 32 KB, bounds their number.
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

    /// `Lax`, because the browser must send it when it arrives from the dashboard or from Stripe.
    /// Not readable by scripts.
    fn cookie(&self, secret: &SessionSecret) -> CookieJar {
        let settings = &self.settings;
        let name = settings.cookie_name();
        let path =
            if name.starts_with("__Host-") { "/".to_owned() } else { settings.path("/capital") };
        let cookie = Cookie::build((name, cookie::encode(secret)))
            .path(path)
            .max_age(settings.session.try_into().unwrap_or_default())
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(settings.public_url.scheme() == "https");
        CookieJar::new().add(cookie)
    }
}

impl Settings {
    /// With `__Host-` a browser accepts the cookie from this host only, so no sibling domain can
    /// plant its own session, or many false ones (RFC 6265bis section 4.1.3). This requires https
    /// and the path `/`, so it applies if the service has its host to itself; `__Secure-` still
    /// excludes plain http.
    fn cookie_name(&self) -> &'static str {
        match (self.public_url.scheme(), self.public_url.path()) {
            ("https", "/") => "__Host-courier_session",
            ("https", _) => "__Secure-courier_session",
            _ => "courier_session",
        }
    }
}
