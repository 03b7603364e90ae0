//! The API's errors: a stable code, a message for people, and the HTTP status, in the same shape as
//! the webhook's errors.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Scope;
use crate::financing::payouts::MAX_DAYS;
use crate::financing::report::BadDays;
use crate::http::api_error::{ApiError, RETRY_AFTER_SECONDS};
use crate::http::body::BodyError;
use crate::queue::{Next, Retryable};
use crate::stripe;

/// An error response. The codes are a promise: see `docs/api.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    MissingKey,
    /// Unknown or revoked.
    BadKey,
    MissingScope(Scope),
    /// The rate limit of the key or of the account's links is used up, for so many seconds.
    RateLimited(u64),
    /// A provider's webhook without a valid signature of a configured sender.
    BadSignature,
    /// The path's account is not an account id.
    BadAccount,
    /// Which parameter is wrong and why.
    BadQuery(Cow<'static, str>),
    /// `from` and `until` are not a valid period.
    BadPeriod(BadDays),
    /// The period is longer than payouts can be reported for.
    TooManyDays,
    /// `refresh_url` or `return_url` is not https.
    BadUrl,
    /// Not an email address that the service can deliver to.
    BadAddress,
    /// What is wrong with the body.
    MalformedBody(Cow<'static, str>),
    /// The body is not a delivery or feedback report about a letter.
    UnreadableReport,
    /// Does not exist, or belongs to another account.
    NotFound,
    MethodNotAllowed,
    /// Stripe refuses an Account Link of this type for the account now.
    LinkRefused,
    BodyTooLarge,
    BodyTooSlow,
    /// The request needs an answer of Stripe, which is unavailable.
    Stripe(StripeUnavailable),
    /// Temporary: the same request may succeed later.
    Unavailable,
}

/// Why Stripe is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripeUnavailable {
    /// Unreachable, or responding with server errors.
    Down,
    /// The rate limit is used up, for so many seconds.
    Busy(u64),
    /// Stripe rejects the platform's key for this call.
    KeyRefused,
    /// Stripe refused the call, or its response is not understood.
    Unexpected,
}

impl Refusal {
    /// Maps an error of a call that reads an object of the account.
    pub(super) fn from_stripe(error: &stripe::Error) -> Self {
        if error.is_missing() || error.is_not_connected() {
            // To a caller, an account that is not connected does not exist.
            return Self::NotFound;
        }
        let status = match error {
            stripe::Error::NotYet(pause) => {
                return Self::Stripe(StripeUnavailable::Busy(pause.as_secs().max(1)));
            }
            stripe::Error::Unreadable { .. } | stripe::Error::NotStripe { status: 200..=299 } => {
                return Self::Stripe(StripeUnavailable::Unexpected);
            }
            stripe::Error::NoAnswer(_) | stripe::Error::NotStripe { .. } => {
                return Self::Stripe(StripeUnavailable::Down);
            }
            stripe::Error::Refused { status, .. } => *status,
        };
        match status {
            401 | 403 => Self::Stripe(StripeUnavailable::KeyRefused),
            // Stripe's own limit, as opposed to ours (`NotYet`): at least a second, so that a
            // caller that honors Retry-After does not retry at once.
            429 => {
                let seconds = match error.next() {
                    Next::Postpone(pause) | Next::TryAgainIn(pause) => pause.as_secs(),
                    Next::TryAgain | Next::GiveUp => 0,
                };
                Self::Stripe(StripeUnavailable::Busy(seconds.max(1)))
            }
            409 | 424 | 500..=599 => Self::Stripe(StripeUnavailable::Down),
            _ => Self::Stripe(StripeUnavailable::Unexpected),
        }
    }

    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::MissingKey => (StatusCode::UNAUTHORIZED, "missing_key"),
            Self::BadKey => (StatusCode::UNAUTHORIZED, "bad_key"),
            Self::MissingScope(_) => (StatusCode::FORBIDDEN, "missing_scope"),
            Self::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::BadSignature => (StatusCode::UNAUTHORIZED, "bad_signature"),
            Self::BadAccount => (StatusCode::BAD_REQUEST, "bad_account"),
            Self::BadQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            Self::BadPeriod(_) | Self::TooManyDays => (StatusCode::BAD_REQUEST, "bad_period"),
            Self::BadUrl => (StatusCode::BAD_REQUEST, "bad_url"),
            Self::BadAddress => (StatusCode::BAD_REQUEST, "bad_address"),
            Self::MalformedBody(_) => (StatusCode::BAD_REQUEST, "malformed_body"),
            Self::UnreadableReport => (StatusCode::BAD_REQUEST, "unreadable_report"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::LinkRefused => (StatusCode::CONFLICT, "link_refused"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Self::Stripe(StripeUnavailable::KeyRefused | StripeUnavailable::Unexpected) => {
                (StatusCode::BAD_GATEWAY, "stripe_unavailable")
            }
            Self::Stripe(StripeUnavailable::Down | StripeUnavailable::Busy(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "stripe_unavailable")
            }
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }

    pub fn code(&self) -> &'static str {
        self.status_and_code().1
    }

    pub(super) fn to_api_error(&self) -> ApiError {
        let (status, code) = self.status_and_code();
        let (retry_after, challenges) = (self.retry_after(), self.challenges());
        ApiError { retry_after, challenges, ..ApiError::new(status, code, self.message()) }
    }

    fn message(&self) -> String {
        let fixed = match self {
            Self::MissingKey => {
                "The request has no API key. Send it as Authorization: Bearer, or as the password of \
                 Basic."
            }
            Self::BadKey => "The API key is unknown or was revoked.",
            Self::MissingScope(scope) => {
                return format!(
                    "The API key lacks the scope {}. Create a key that has it.",
                    scope.as_str()
                );
            }
            Self::RateLimited(_) => "Rate limit exceeded: see Retry-After.",
            Self::BadSignature => {
                "The request is not signed by a configured sender. Check the settings under \
                 [inbound]."
            }
            Self::BadAccount => "The account in the path is not an id of the form acct_….",
            Self::BadQuery(why) => return format!("The query is invalid: {why}."),
            Self::BadPeriod(why) => {
                return format!("from and until are not a valid period: {why}.");
            }
            Self::TooManyDays => return format!("per=payout reports at most {MAX_DAYS} days."),
            Self::BadUrl => {
                "refresh_url and return_url must be https:// URLs, or http://localhost for \
                 development."
            }
            Self::BadAddress => {
                "Not a deliverable email address: use ASCII, as in name@example.com."
            }
            Self::MalformedBody(why) => {
                return format!("The body is not the JSON that this endpoint accepts: {why}.");
            }
            Self::UnreadableReport => {
                "The body is neither a delivery report (RFC 3464) nor a feedback report (RFC 5965) \
                 that identifies an email."
            }
            Self::NotFound => "Not found, or not of this account.",
            Self::MethodNotAllowed => "This endpoint does not support the method.",
            Self::LinkRefused => {
                "Stripe creates no such link for this account now: `application` needs an open \
                 offer, `reporting` a financing."
            }
            Self::BodyTooLarge => "The body is larger than this endpoint accepts.",
            Self::BodyTooSlow => "The body did not arrive in time.",
            Self::Stripe(reason) => reason.message(),
            Self::Unavailable => "Temporarily unavailable. Retry later.",
        };
        fixed.to_owned()
    }

    /// RFC 9110 section 11.6.1 requires `WWW-Authenticate` in every 401.
    fn challenges(&self) -> &'static [&'static str] {
        match self {
            Self::MissingKey => &[
                "Bearer realm=\"capital-courier\"",
                "Basic realm=\"capital-courier\", charset=\"UTF-8\"",
            ],
            Self::BadKey => &[
                "Bearer realm=\"capital-courier\", error=\"invalid_token\"",
                "Basic realm=\"capital-courier\", charset=\"UTF-8\"",
            ],
            Self::BadSignature => &["Signature realm=\"capital-courier\""],
            Self::MissingScope(_) => {
                &["Bearer realm=\"capital-courier\", error=\"insufficient_scope\""]
            }
            Self::RateLimited(_)
            | Self::BadAccount
            | Self::BadQuery(_)
            | Self::BadPeriod(_)
            | Self::TooManyDays
            | Self::BadUrl
            | Self::BadAddress
            | Self::MalformedBody(_)
            | Self::UnreadableReport
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::LinkRefused
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::Stripe(_)
            | Self::Unavailable => &[],
        }
    }

    /// Seconds after which a retry makes sense; `None` if a retry cannot help.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited(seconds) | Self::Stripe(StripeUnavailable::Busy(seconds)) => {
                Some(*seconds)
            }
            Self::Stripe(StripeUnavailable::Down) | Self::Unavailable => Some(RETRY_AFTER_SECONDS),
            Self::Stripe(StripeUnavailable::KeyRefused | StripeUnavailable::Unexpected)
            | Self::MissingKey
            | Self::BadKey
            | Self::MissingScope(_)
            | Self::BadSignature
            | Self::BadAccount
            | Self::BadQuery(_)
            | Self::BadPeriod(_)
            | Self::TooManyDays
            | Self::BadUrl
            | Self::BadAddress
            | Self::MalformedBody(_)
            | Self::UnreadableReport
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::LinkRefused
            | Self::BodyTooLarge
            | Self::BodyTooSlow => None,
        }
    }
}

impl StripeUnavailable {
    fn message(self) -> &'static str {
        match self {
            Self::Down => "Stripe is unavailable. Retry later.",
            Self::Busy(_) => "Stripe's rate limit is used up: see Retry-After.",
            Self::KeyRefused => {
                "Stripe rejects the platform's key for this: an operator must fix it."
            }
            Self::Unexpected => {
                "Stripe refused the call, or its response is not understood: needs an operator's \
                 attention."
            }
        }
    }
}

impl From<BadDays> for Refusal {
    fn from(why: BadDays) -> Self {
        Self::BadPeriod(why)
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::TooSlow => Self::BodyTooSlow,
            BodyError::Broken => Self::MalformedBody("it is incomplete".into()),
            BodyError::OutOfMemory => Self::Unavailable,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.to_api_error().into_response()
    }
}
