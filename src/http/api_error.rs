//! The error response of the API: a status, a stable code for programs and a message for people.
//! Never contains an error chain.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// `Retry-After` if no better value is known.
pub const RETRY_AFTER_SECONDS: u64 = 5;

#[derive(Clone, Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub body: ErrorBody,
    /// `Retry-After` in seconds, if a retry can succeed.
    pub retry_after: Option<u64>,
    /// Values of `WWW-Authenticate`, which RFC 9110 section 11.6.1 requires in every 401.
    pub challenges: &'static [&'static str],
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// Stable, for programs.
    #[schema(example = "bad_query")]
    pub(crate) code: &'static str,
    /// For people. May change.
    pub(crate) message: Cow<'static, str>,
}

impl ApiError {
    /// An error without `Retry-After` or challenges.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let body = ErrorBody { error: ErrorDetail { code, message: message.into() } };
        Self { status, body, retry_after: None, challenges: &[] }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        for challenge in self.challenges {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
