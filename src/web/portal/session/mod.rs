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
        is_embedded: bool,
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
        Ok(Some(self.cookie(&secret, is_embedded)))
    }

    /// The session of the request's cookie; if there are several cookies, the newest session.
    pub(super) async fn session(
        &self,
        headers: &HeaderMap,
        is_embedded: bool,
    ) -> sqlx::Result<Option<Session>> {
        // All of them: a sibling domain can put its own cookie in front. The size limit of headers,
        // 32 KB, bounds their number.
        let name = self.settings.cookie_name(is_embedded);
        let hashes: Vec<Vec<u8>> = presented(headers, name).map(|secret| hash(&secret)).collect();
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
    ///
    /// A frame's request is cross-site if the dashboard has another registrable domain, so its
    /// cookie is `None`, and `Partitioned`: the browser sends it only below the top-level site that
    /// embedded the page, so no other site's request carries it.
    fn cookie(&self, secret: &SessionSecret, is_embedded: bool) -> CookieJar {
        let settings = &self.settings;
        let name = settings.cookie_name(is_embedded);
        let path =
            if name.starts_with("__Host-") { "/".to_owned() } else { settings.path("/capital") };
        let is_https = settings.public_url.scheme() == "https";
        let is_partitioned = is_embedded && is_https;
        let cookie = Cookie::build((name, cookie::encode(secret)))
            .path(path)
            .max_age(settings.session.try_into().unwrap_or_default())
            .http_only(true)
            .same_site(if is_partitioned { SameSite::None } else { SameSite::Lax })
            .partitioned(is_partitioned)
            .secure(is_https);
        CookieJar::new().add(cookie)
    }
}

impl Settings {
    /// With `__Host-` a browser accepts the cookie from this host only, so no sibling domain can
    /// plant its own session, or many false ones (RFC 6265bis section 4.1.3). This requires https
    /// and the path `/`, so it applies if the service has its host to itself; `__Secure-` still
    /// excludes plain http.
    ///
    /// The session in a frame has a cookie of its own, so that neither replaces the other.
    fn cookie_name(&self, is_embedded: bool) -> &'static str {
        match (self.public_url.scheme(), self.public_url.path(), is_embedded) {
            ("https", "/", false) => "__Host-courier_session",
            ("https", "/", true) => "__Host-courier_embedded",
            ("https", _, false) => "__Secure-courier_session",
            ("https", _, true) => "__Secure-courier_embedded",
            (_, _, false) => "courier_session",
            (_, _, true) => "courier_embedded",
        }
    }
}
