//! The API's errors: a stable code, a message for people, and the HTTP status, in the same shape as
//! the webhook's errors.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Scope;
use crate::financing::payouts::MAX_DAYS;
use crate::financing::report::BadDays;
use crate::http::api_error::{ApiError, RETRY_AFTER_SECONDS};
use crate::http::body::BodyError;
use crate::queue::{Next, Retryable};
use crate::stripe;

/// An error response; `Display` is its message. The codes are a promise: see `docs/api.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    #[error(
        "The request has no API key. Send it as Authorization: Bearer, or as the password of Basic."
    )]
    MissingKey,
    #[error("The API key is unknown or was revoked.")]
    BadKey,
    #[error("The API key lacks the scope {}. Create a key that has it.", .0.as_str())]
    MissingScope(Scope),
    /// The rate limit of the key or of the account's links is used up, for so many seconds.
    #[error("Rate limit exceeded: see Retry-After.")]
    RateLimited(u64),
    #[error(
        "The request is not signed by a configured sender. Check the settings under [inbound]."
    )]
    BadSignature,
    #[error("The account in the path is not an id of the form acct_….")]
    BadAccount,
    /// Which parameter is wrong and why.
    #[error("The query is invalid: {0}.")]
    BadQuery(Cow<'static, str>),
    #[error("from and until are not a valid period: {0}.")]
    BadPeriod(#[from] BadDays),
    #[error("per=payout reports at most {MAX_DAYS} days.")]
    #[strum(serialize = "bad_period")]
    TooManyDays,
    #[error(
        "refresh_url and return_url must be https:// URLs, or http://localhost for development."
    )]
    BadUrl,
    #[error("Not a deliverable email address: use ASCII, as in name@example.com.")]
    BadAddress,
    /// What is wrong with the body.
    #[error("The body is not the JSON that this endpoint accepts: {0}.")]
    MalformedBody(Cow<'static, str>),
    #[error(
        "The body is neither a delivery report (RFC 3464) nor a feedback report (RFC 5965) that \
         identifies an email."
    )]
    UnreadableReport,
    #[error("Not found, or not of this account.")]
    NotFound,
    #[error("This endpoint does not support the method.")]
    MethodNotAllowed,
    #[error(
        "Stripe creates no such link for this account now: `application` needs an open offer, \
         `reporting` a financing."
    )]
    LinkRefused,
    #[error(
        "Stripe creates no such Account Session: the components may not exist in the account's \
         country, or the operator must correct stripe.embedded_version."
    )]
    SessionRefused,
    #[error("The offer has ended, so Stripe cannot be told of a delivery.")]
    OfferEnded,
    #[error(
        "The offer is not open for an application, or its terms are incomplete: there is nothing \
         to promote."
    )]
    NothingToPromote,
    #[error(
        "There is no approved disclaimer for this offer, and without one nothing may be shown: an \
         operator must add it to email.disclaimers_dir."
    )]
    NoDisclaimer,
    #[error("The body is larger than this endpoint accepts.")]
    BodyTooLarge,
    #[error("The body did not arrive in time.")]
    BodyTooSlow,
    #[error(transparent)]
    #[strum(serialize = "stripe_unavailable")]
    Stripe(StripeUnavailable),
    /// Temporary: the same request may succeed later.
    #[error("Temporarily unavailable. Retry later.")]
    Unavailable,
}

/// Why a response from Stripe that the request needs is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeUnavailable {
    /// Unreachable, or responding with server errors.
    #[error("Stripe is unavailable. Retry later.")]
    Down,
    /// The rate limit is used up, for so many seconds.
    #[error("Stripe's rate limit is used up: see Retry-After.")]
    Busy(u64),
    #[error("Stripe rejects the platform's key for this: an operator must fix it.")]
    KeyRefused,
    #[error(
        "Stripe refused the call, or its response is not understood: needs an operator's attention."
    )]
    Unexpected,
}

impl Refusal {
    /// Maps an error of a call that reads an object of the account.
    pub(super) fn from_stripe(error: &stripe::Error) -> Self {
        use stripe::Error::{NoAnswer, NotStripe, NotYet, Refused, Unreadable};
        if error.is_missing() || error.is_not_connected() {
            // To a caller, an account that is not connected does not exist.
            return Self::NotFound;
        }
        // At least a second, so that a caller that honors Retry-After does not retry at once.
        let busy = |pause: Duration| StripeUnavailable::Busy(pause.as_secs().max(1));
        Self::Stripe(match error {
            NotYet(pause) => busy(*pause),
            Unreadable { .. } | NotStripe { status: 200..=299 } => StripeUnavailable::Unexpected,
            NoAnswer(_) | NotStripe { .. } | Refused { status: 409 | 424 | 500..=599, .. } => {
                StripeUnavailable::Down
            }
            Refused { status: 401 | 403, .. } => StripeUnavailable::KeyRefused,
            // Stripe's own limit, as opposed to ours (`NotYet`).
            Refused { status: 429, .. } => busy(match error.next() {
                Next::Postpone(pause) | Next::TryAgainIn(pause) => pause,
                Next::TryAgain | Next::GiveUp => Duration::ZERO,
            }),
            Refused { .. } => StripeUnavailable::Unexpected,
        })
    }

    pub fn code(&self) -> &'static str {
        self.into()
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadAccount
            | Self::BadQuery(_)
            | Self::BadPeriod(_)
            | Self::TooManyDays
            | Self::BadUrl
            | Self::BadAddress
            | Self::MalformedBody(_)
            | Self::UnreadableReport => StatusCode::BAD_REQUEST,
            Self::MissingKey | Self::BadKey | Self::BadSignature => StatusCode::UNAUTHORIZED,
            Self::MissingScope(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::LinkRefused
            | Self::SessionRefused
            | Self::OfferEnded
            | Self::NothingToPromote
            | Self::NoDisclaimer => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Stripe(StripeUnavailable::KeyRefused | StripeUnavailable::Unexpected) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Stripe(StripeUnavailable::Down | StripeUnavailable::Busy(_))
            | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// RFC 9110 section 11.6.1 requires `WWW-Authenticate` in every 401.
    fn challenges(&self) -> &'static [&'static str] {
        const BASIC: &str = "Basic realm=\"capital-courier\", charset=\"UTF-8\"";
        if let Self::MissingKey = self {
            &["Bearer realm=\"capital-courier\"", BASIC]
        } else if let Self::BadKey = self {
            &["Bearer realm=\"capital-courier\", error=\"invalid_token\"", BASIC]
        } else if let Self::BadSignature = self {
            &["Signature realm=\"capital-courier\""]
        } else if let Self::MissingScope(_) = self {
            &["Bearer realm=\"capital-courier\", error=\"insufficient_scope\""]
        } else {
            &[]
        }
    }

    /// Seconds after which a retry makes sense; `None` if a retry cannot help.
    fn retry_after(&self) -> Option<u64> {
        if let Self::RateLimited(seconds) | Self::Stripe(StripeUnavailable::Busy(seconds)) = self {
            Some(*seconds)
        } else {
            (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS)
        }
    }

    pub(super) fn to_api_error(&self) -> ApiError {
        let (retry_after, challenges) = (self.retry_after(), self.challenges());
        ApiError {
            retry_after,
            challenges,
            ..ApiError::new(self.status(), self.code(), self.to_string())
        }
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
