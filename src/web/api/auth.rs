//! Authentication: middleware that admits requests with a valid API key and the required scope.
//!
//! `Authorization: Bearer courier_…` (RFC 6750), or Basic with the key as the password (RFC 7617)
//! and any user name, because the webhooks of mail providers often support only that. A key is
//! never logged.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::headers::HeaderMapExt;
use axum_extra::headers::authorization::{Authorization, Basic, Bearer};
use secrecy::SecretString;

use super::keys::{self, Caller, Scope};
use super::{Api, Refusal};
use crate::http::rate::Rate;
use crate::telemetry::LogLimit;

static REFUSED: LogLimit = LogLimit::new();

/// The requirements of a route.
#[derive(Clone, Debug)]
pub struct Guard {
    api: Api,
    scope: Scope,
    /// Limit per key; `None` means no limit.
    rate: Option<Rate>,
}

impl Guard {
    /// Requires a key with this scope.
    pub fn new(api: Api, scope: Scope) -> Self {
        Self { api, scope, rate: None }
    }

    /// Also limits the requests of each key.
    #[must_use]
    pub(super) fn with_rate_limit(self, rate: Rate) -> Self {
        Self { rate: Some(rate), ..self }
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let secret = presented(headers).ok_or(Refusal::MissingKey)?;
        let found = keys::find(&self.api.db, &secret, self.api.clock.now());
        let caller = self.api.query("cannot look up an API key", found).await?;
        let caller = caller.ok_or(Refusal::BadKey)?;
        if let Some(rate) = &self.rate {
            // Before the scope: a caller that repeats a forbidden request is limited too.
            rate.count(&caller.key_id).map_err(Refusal::RateLimited)?;
        }
        if caller.has(self.scope) { Ok(caller) } else { Err(Refusal::MissingScope(self.scope)) }
    }
}

/// Verifies the key before the body is read. The handler finds the [`Caller`] among the request's
/// extensions.
pub async fn authenticate(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    match guard.caller(request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.run(request).await)
        }
        Err(refusal) => {
            // Anyone can cause these, so each kind is logged at most once a second.
            REFUSED.write(refusal.code(), |suppressed| {
                let path = request.uri().path();
                tracing::warn!(
                    log.suppressed = suppressed,
                    code = refusal.code(),
                    path,
                    "refused a caller"
                );
            });
            Err(refusal)
        }
    }
}

/// The key in the `Authorization` header.
fn presented(headers: &HeaderMap) -> Option<SecretString> {
    let bearer = headers.typed_get::<Authorization<Bearer>>();
    let bearer = bearer.map(|header| header.token().trim_end().to_owned());
    let basic =
        || headers.typed_get::<Authorization<Basic>>().map(|header| header.password().to_owned());
    bearer.or_else(basic).map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::AUTHORIZATION;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use secrecy::ExposeSecret;

    #[test]
    fn a_key_is_a_bearer_token_or_the_basic_password() {
        let presented = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            presented(&headers).map(|secret| secret.expose_secret().to_owned())
        };
        for value in [
            "Bearer courier_x",
            "bearer   courier_x",
            &format!("Basic {}", STANDARD.encode("any:courier_x")),
            &format!("BASIC {}", STANDARD.encode(":courier_x")),
        ] {
            assert_eq!(presented(value).as_deref(), Some("courier_x"), "{value}");
        }
        for value in ["courier_x", "Digest courier_x", "Basic !", "Basic Y291cmllcl94"] {
            assert_eq!(presented(value), None, "{value}");
        }
        assert!(super::presented(&HeaderMap::new()).is_none());
    }
}
