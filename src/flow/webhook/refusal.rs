//! What the sender of a request hears when it is not taken: a stable code and a fixed sentence, never our inner workings.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::SignatureError;
use crate::http::api_error::{ApiError, RETRY_AFTER_SECONDS};
use crate::http::body::BodyError;

/// Why a request was not taken. The codes are a promise: see `docs/api.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    MissingSignature,
    BadSignature,
    TimestampOutsideTolerance,
    MalformedEvent,
    BodyTooLarge,
    BodyTooSlow,
    NotKept,
}

impl Refusal {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::MissingSignature => (StatusCode::BAD_REQUEST, "missing_signature"),
            Self::BadSignature => (StatusCode::BAD_REQUEST, "bad_signature"),
            Self::TimestampOutsideTolerance => {
                (StatusCode::BAD_REQUEST, "timestamp_outside_tolerance")
            }
            Self::MalformedEvent => (StatusCode::BAD_REQUEST, "malformed_event"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Self::NotKept => (StatusCode::SERVICE_UNAVAILABLE, "not_kept"),
        }
    }

    pub(super) fn code(&self) -> &'static str {
        self.kind().1
    }

    fn sentence(&self) -> &'static str {
        match self {
            Self::MissingSignature => {
                "The request has no Stripe-Signature header. Only Stripe may call this address."
            }
            Self::BadSignature => {
                "The signature does not match. Check that the endpoint's signing secret is configured here, and that nothing \
                 on the way changes the body."
            }
            Self::TimestampOutsideTolerance => {
                "The signature is too old or from the future. Check the clocks on both sides."
            }
            Self::MalformedEvent => "The body is not a Stripe event.",
            Self::BodyTooLarge => "The body is larger than this address takes.",
            Self::BodyTooSlow => "The body did not arrive in time.",
            Self::NotKept => "The event could not be kept. Send it again later.",
        }
    }
}

impl From<&SignatureError> for Refusal {
    fn from(error: &SignatureError) -> Self {
        match error {
            SignatureError::Missing => Self::MissingSignature,
            SignatureError::Header(_) | SignatureError::NoMatch { .. } => Self::BadSignature,
            SignatureError::OutsideTolerance { .. } => Self::TimestampOutsideTolerance,
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::TooSlow => Self::BodyTooSlow,
            BodyError::Broken => Self::MalformedEvent,
            BodyError::OutOfMemory => Self::NotKept,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.kind();
        let retry_after = (self == Self::NotKept).then_some(RETRY_AFTER_SECONDS);
        ApiError { retry_after, ..ApiError::new(status, code, self.sentence()) }.into_response()
    }
}
