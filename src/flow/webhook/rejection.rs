//! Responses to rejected requests: a stable code and a fixed sentence without internals.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::SignatureError;
use crate::http::api_error::{ApiError, RETRY_AFTER_SECONDS};
use crate::http::body::BodyError;

/// Why a request was rejected. The codes are stable: see `docs/api.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    MissingSignature,
    BadSignature,
    TimestampOutsideTolerance,
    MalformedEvent,
    BodyTooLarge,
    BodyTooSlow,
    NotStored,
}

impl Rejection {
    pub(super) const ALL: [Self; 7] = [
        Self::MissingSignature,
        Self::BadSignature,
        Self::TimestampOutsideTolerance,
        Self::MalformedEvent,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::NotStored,
    ];

    /// The status, the code and the message.
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MissingSignature => (
                StatusCode::BAD_REQUEST,
                "missing_signature",
                "The request has no Stripe-Signature header. Only Stripe may call this endpoint.",
            ),
            Self::BadSignature => (
                StatusCode::BAD_REQUEST,
                "bad_signature",
                "The signature does not match. Check that the endpoint's signing secret is \
                 configured here, and that nothing on the way changes the body.",
            ),
            Self::TimestampOutsideTolerance => (
                StatusCode::BAD_REQUEST,
                "timestamp_outside_tolerance",
                "The signature is too old or from the future. Check the clocks on both sides.",
            ),
            Self::MalformedEvent => {
                (StatusCode::BAD_REQUEST, "malformed_event", "The body is not a Stripe event.")
            }
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The body is larger than this endpoint accepts.",
            ),
            Self::BodyTooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The body did not arrive in time.")
            }
            Self::NotStored => (
                StatusCode::SERVICE_UNAVAILABLE,
                "not_kept",
                "The event could not be stored. Send it again later.",
            ),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.parts().0
    }

    pub(super) fn code(&self) -> &'static str {
        self.parts().1
    }
}

impl From<&SignatureError> for Rejection {
    fn from(error: &SignatureError) -> Self {
        match error {
            SignatureError::Missing => Self::MissingSignature,
            SignatureError::Header(_) | SignatureError::NoMatch { .. } => Self::BadSignature,
            SignatureError::OutsideTolerance { .. } => Self::TimestampOutsideTolerance,
        }
    }
}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::TooSlow => Self::BodyTooSlow,
            BodyError::Broken => Self::MalformedEvent,
            BodyError::OutOfMemory => Self::NotStored,
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let retry_after = (self == Self::NotStored).then_some(RETRY_AFTER_SECONDS);
        ApiError { retry_after, ..ApiError::new(status, code, message) }.into_response()
    }
}
