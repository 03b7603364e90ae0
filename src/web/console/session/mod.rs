//! Sessions of the console: begun by a sign-in with a token, carried by a cookie, ended by
//! sign-out, after twelve hours, and by a change of the token.
//!
//! The secret in the cookie is made at the sign-in, so a cookie that was planted before grants
//! nothing. The database has only its hash.

mod store;

use std::time::Duration;

use axum::http::HeaderMap;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use chrono::TimeDelta;

use super::Console;
use super::access::{ConsoleRole, Seal};
use crate::web::cookie::{self, SessionSecret, hash};

const LIFETIME: Duration = Duration::from_hours(12);
const BETWEEN_TOUCHES: TimeDelta = TimeDelta::minutes(1);

/// Over plain http, and over https. With `__Secure-` a page on plain http cannot plant the cookie;
/// `__Host-` would require the path `/`, which the console shares with `/metrics`.
const NAMES: [&str; 2] = ["courier_console", "__Secure-courier_console"];

/// Whose session a cookie carries.
pub(super) struct SignedIn {
    pub(super) name: String,
    pub(super) role: ConsoleRole,
    /// Seals what belongs to this session.
    pub(super) seal: Seal,
}

impl Console {
    /// Begins a session and returns its cookie. Ends the sessions of the cookies that the request
    /// carried.
    pub(super) async fn begin_session(
        &self,
        (name, role): (&str, ConsoleRole),
        headers: &HeaderMap,
        is_https: bool,
    ) -> sqlx::Result<CookieJar> {
        let (secret, now): (SessionSecret, _) = (rand::random(), self.clock.now());
        let session = store::NewConsoleSession {
            session_sha256: &hash(&secret),
            token_proof: &self.settings.proof(role, &Seal::new(&secret)).unwrap_or_default(),
            role: role.as_str(),
            name,
            expires_at: now + LIFETIME,
        };
        let mut tx = self.db.begin().await?;
        store::delete(&mut *tx, &hashes(&presented(headers).concat())).await?;
        store::insert(&mut *tx, &session, now).await?;
        store::delete_expired(&mut tx, now).await?;
        tx.commit().await?;
        Ok(jar(cookie::encode(&secret), is_https, LIFETIME))
    }

    /// The session of the request's cookie, if the token that opened it is still in force; of
    /// several, the newest.
    pub(super) async fn session(&self, headers: &HeaderMap) -> sqlx::Result<Option<SignedIn>> {
        // A secure cookie alone counts, if there is one: a page that is not could set the other.
        let [plain, secure] = presented(headers);
        let secrets = if secure.is_empty() { plain } else { secure };
        if secrets.is_empty() {
            return Ok(None);
        }
        let now = self.clock.now();
        let found = store::find(&self.db, &hashes(&secrets), now).await?;
        for session in found {
            let secret = secrets.iter().find(|secret| hash(*secret) == session.session_sha256);
            let (Some(secret), Ok(role)) = (secret, session.role.parse()) else { continue };
            let seal = Seal::new(secret);
            if self.settings.proof(role, &seal).is_none_or(|proof| proof != session.token_proof) {
                continue;
            }
            if now - session.last_used_at > BETWEEN_TOUCHES {
                store::touch(&self.db, &session.session_sha256, now).await?;
            }
            return Ok(Some(SignedIn { name: session.name, role, seal }));
        }
        Ok(None)
    }

    /// Ends the sessions of the request's cookies and returns cookies that remove them.
    pub(super) async fn end_session(&self, headers: &HeaderMap) -> sqlx::Result<CookieJar> {
        store::delete(&self.db, &hashes(&presented(headers).concat())).await?;
        let expired = NAMES.map(|name| named(name, String::new(), Duration::ZERO));
        Ok(expired.into_iter().fold(CookieJar::new(), CookieJar::add))
    }
}

/// The secrets of all cookies, the plain ones and the secure ones.
fn presented(headers: &HeaderMap) -> [Vec<SessionSecret>; 2] {
    NAMES.map(|name| cookie::presented(headers, name).collect())
}

fn hashes(secrets: &[SessionSecret]) -> Vec<Vec<u8>> {
    secrets.iter().map(|secret| hash(secret)).collect()
}

fn jar(value: String, is_https: bool, lifetime: Duration) -> CookieJar {
    CookieJar::new().add(named(NAMES[usize::from(is_https)], value, lifetime))
}

/// `Strict`: no other site's link or form reaches the console with it.
fn named(name: &'static str, value: String, lifetime: Duration) -> Cookie<'static> {
    Cookie::build((name, value))
        .path("/console")
        .max_age(lifetime.try_into().unwrap_or_default())
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(name.starts_with("__Secure-"))
        .build()
}
