//! A stand-in for the platform's own dashboard: it knows who is who, and hands a merchant over to the Capital section with a token
//! signed for this one visit.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use url::Url;

use super::answer::Answer;
use super::api::Asked;
use super::{Shared, page};

/// What the platform's dashboard knows.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// The Capital section.
    pub section: Url,
    /// The key that the section verifies tokens with (HS256).
    pub secret: String,
    /// The `aud` that the section expects.
    pub audience: String,
}

/// From the signing to the opening is a redirect.
const LASTS_SECONDS: i64 = 60;

/// `/dashboard`, where anybody may choose to be any merchant, and `/dashboard/{account}`. None is no page of the dashboard.
pub(crate) fn answer(shared: &Shared, asked: &Asked) -> Option<Answer> {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["dashboard"]) => Some(page::merchants(shared)),
        ("GET", ["dashboard", account]) => Some(hand_over(shared, account)),
        _ => None,
    }
}

fn hand_over(shared: &Shared, account: &str) -> Answer {
    let state = shared.state();
    let Some(dashboard) = state.dashboard.as_ref().filter(|_| state.accounts.contains_key(account))
    else {
        return Answer::html(404, "No such merchant, or no Capital section.".to_owned());
    };
    let now = shared.clock.now().timestamp();
    let claims = json!({
        "sub": account, "aud": dashboard.audience, "iat": now, "exp": now + LASTS_SECONDS,
        "jti": hex::encode(rand::random::<[u8; 16]>()),
    });
    let key = EncodingKey::from_secret(dashboard.secret.as_bytes());
    match encode(&Header::new(Algorithm::HS256), &claims, &key) {
        Ok(token) => {
            let mut url = dashboard.section.clone();
            url.query_pairs_mut().append_pair("token", &token);
            Answer::see_other(url.as_str())
        }
        Err(error) => Answer::html(500, error.to_string()),
    }
}
