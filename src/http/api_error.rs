//! The answer to a request that is refused: a status, a stable code for a program, and a sentence
//! for a person. Never an error chain.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// For a caller that is not told how long to wait.
pub const RETRY_AFTER_SECONDS: u64 = 5;

/// A refusal, ready to be sent.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code and the sentence.
    pub body: ErrorBody,
    /// After how many seconds another try makes sense, where any does.
    pub retry_after: Option<u64>,
    /// What would do instead: RFC 9110 section 11.6.1 wants every 401 to say so.
    pub challenges: &'static [&'static str],
}

/// The body of a refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

/// Why.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// Stable, for a program.
    #[schema(example = "bad_query")]
    pub(crate) code: &'static str,
    /// For a person. May change.
    pub(crate) message: Cow<'static, str>,
}

impl ApiError {
    /// One that no other try and no other key helps.
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
