//! Idempotency-Keys (<https://docs.stripe.com/api/idempotent_requests>): the first response to a
//! key is given again for a day.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::ApiRequest;
use super::response::ApiResponse;

/// Stripe keeps keys for at least this long.
const RETENTION: TimeDelta = TimeDelta::hours(24);
const MAX_KEY_LENGTH: usize = 255;

#[derive(Default)]
pub(crate) struct IdempotencyKeys(Mutex<HashMap<String, StoredRequest>>);

struct StoredRequest {
    /// Everything that a second request with the key must repeat.
    parameters: String,
    at: DateTime<Utc>,
    /// None while the first request is being carried out.
    response: Option<ApiResponse>,
}

/// A key whose request is over. The headers of its response are not kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedKey {
    key: String,
    parameters: String,
    at: DateTime<Utc>,
    status: u16,
    body: Value,
}

impl IdempotencyKeys {
    pub(crate) fn save(&self) -> Vec<SavedKey> {
        let keys = self.keys();
        let saved = |(key, stored): (&String, &StoredRequest)| {
            let response = stored.response.as_ref()?;
            Some(SavedKey {
                key: key.clone(),
                parameters: stored.parameters.clone(),
                at: stored.at,
                status: response.status,
                body: response.body.clone(),
            })
        };
        keys.iter().filter_map(saved).collect()
    }

    pub(crate) fn restore(&self, saved: Vec<SavedKey>) {
        let mut keys = self.keys();
        for SavedKey { key, parameters, at, status, body } in saved {
            let response = Some(ApiResponse::json(status, body));
            keys.insert(key, StoredRequest { parameters, at, response });
        }
    }

    /// Carries a request out once for its key. Without a key it is always carried out.
    pub(crate) fn once(
        &self,
        request: &ApiRequest,
        now: DateTime<Utc>,
        carry_out: impl FnOnce() -> ApiResponse,
    ) -> ApiResponse {
        let Some(key) = request.header("Idempotency-Key") else { return carry_out() };
        if key.len() > MAX_KEY_LENGTH {
            let message = "The Idempotency-Key is longer than 255 characters.";
            return ApiResponse::invalid_request(None, message);
        }
        if let Some(response) = self.begin(key, request, now) {
            return response;
        }
        let response = carry_out();
        let mut keys = self.keys();
        if response.was_executed {
            if let Some(stored) = keys.get_mut(key) {
                stored.response = Some(response.clone());
            }
        } else {
            keys.remove(key);
        }
        response
    }

    /// The response that the key has already, or none: then the key is taken.
    fn begin(&self, key: &str, request: &ApiRequest, now: DateTime<Utc>) -> Option<ApiResponse> {
        let parameters = format!(
            "{} {} {} {}",
            request.header("Stripe-Account").unwrap_or_default(),
            request.method,
            request.path,
            String::from_utf8_lossy(&request.body)
        );
        let mut keys = self.keys();
        let stored = keys.get(key).filter(|stored| now - stored.at < RETENTION);
        let conflict = |status, code, message| {
            Some(ApiResponse::error(status, "idempotency_error", code, message))
        };
        match stored {
            Some(stored) if stored.parameters != parameters => {
                let message = "Keys for idempotent requests can only be used with the same \
                               parameters they were first used with.";
                conflict(400, None, message)
            }
            Some(StoredRequest { response: Some(response), .. }) => {
                Some(response.clone().with_header("Idempotent-Replayed", "true"))
            }
            Some(StoredRequest { response: None, .. }) => {
                let message = "There is currently another in-progress request using this \
                               Idempotent Key.";
                conflict(409, Some("idempotency_key_in_use"), message)
            }
            None => {
                // At each doubling, so that it costs little however many there are.
                if keys.len().is_power_of_two() {
                    keys.retain(|_, stored| now - stored.at < RETENTION);
                }
                let stored = StoredRequest { parameters, at: now, response: None };
                keys.insert(key.to_owned(), stored);
                None
            }
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, StoredRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
