//! A stand-in for the platform's own dashboard: it knows which merchant is signed in, and sends it
//! to the platform's Capital section with a token signed for this one visit.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use minijinja::context;
use serde_json::json;
use url::Url;

use super::dashboard::{account_ids, name};
use super::{MERCHANTS, Pages, render};
use crate::engine::Engine;
use crate::http::response::ApiResponse;

/// Where the platform's Capital section is, and what its tokens need.
#[derive(Clone, Debug)]
pub struct PlatformDashboard {
    /// The Capital section. The token is added as the query parameter `token`.
    pub section: Url,
    /// The key that the section verifies tokens with (HS256).
    pub secret: String,
    /// The `aud` that the section expects.
    pub audience: String,
}

/// From the signature to the visit is one redirect.
const TOKEN_LIFETIME_SECONDS: i64 = 60;

/// `/dashboard`: nobody signs in here, so the visitor chooses a merchant.
pub(super) fn choose(engine: &Engine) -> ApiResponse {
    let state = engine.state();
    let merchant = |id: &String| {
        context! { id, name => name(&state, id), country => state.accounts.country(id) }
    };
    let merchants: Vec<_> = account_ids(&state).into_iter().map(merchant).collect();
    drop(state);
    render(MERCHANTS, context! { merchants })
}

/// `/dashboard/{account}`: on to the Capital section.
pub(super) fn enter(engine: &Engine, pages: &Pages, account: &str) -> ApiResponse {
    let platform = pages.host().platform.filter(|_| engine.state().accounts.contains(account));
    let Some(platform) = platform else {
        return ApiResponse::html(404, "No such merchant, or no Capital section.".to_owned());
    };
    let now = engine.time.now().timestamp();
    let claims = json!({
        "sub": account, "aud": platform.audience, "iat": now, "exp": now + TOKEN_LIFETIME_SECONDS,
        "jti": hex::encode(rand::random::<[u8; 16]>()),
    });
    let key = EncodingKey::from_secret(platform.secret.as_bytes());
    match encode(&Header::new(Algorithm::HS256), &claims, &key) {
        Ok(token) => {
            let mut url = platform.section;
            url.query_pairs_mut().append_pair("token", &token);
            ApiResponse::see_other(url.as_str())
        }
        Err(error) => ApiResponse::html(500, error.to_string()),
    }
}
