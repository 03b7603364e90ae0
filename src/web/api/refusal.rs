//! What a program hears when it does not get what it wants: a stable code and a sentence, in the shape that the webhook has too.

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

/// Why a request was refused. The codes are a promise: see `docs/api.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no key in it.
    MissingKey,
    /// Its key is none of ours, or was revoked.
    BadKey,
    /// Its key may not do that.
    MissingScope(Scope),
    /// Its key asks too often, or for too many links of an account; it may again in so many seconds.
    RateLimited(u64),
    /// It should be signed by a mail sender, and is not, or not by one that we listen to.
    BadSignature,
    /// The account in the address is none.
    BadAccount,
    /// What stands behind the `?` is not understood: which word, and why.
    BadQuery(Cow<'static, str>),
    /// What stands behind the `?` is no stretch of time that can be told of.
    BadPeriod(BadDays),
    /// What stands behind the `?` is a longer one than payouts can be explained of.
    TooManyDays,
    /// An address to come back to is none that a merchant may be sent to.
    BadUrl,
    /// That is no email address that a letter can go to.
    BadAddress,
    /// The body is not what it should be: what is wrong with it.
    MalformedBody(Cow<'static, str>),
    /// The body is no report about a letter.
    UnreadableReport,
    /// There is no such thing, or it is another account's.
    NotFound,
    /// This address does not know the method.
    MethodNotAllowed,
    /// Stripe makes no such link for this account now.
    LinkRefused,
    /// The body is too large.
    BodyTooLarge,
    /// The body took too long.
    BodyTooSlow,
    /// Stripe, which alone knows, does not say.
    Stripe(StripeUnavailable),
    /// Not now: later.
    Unavailable,
}

/// Why Stripe does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripeUnavailable {
    /// It cannot be reached, or it is broken.
    Down,
    /// Its rate limit is used up, for so many seconds.
    Busy(u64),
    /// It does not take the platform's key for this.
    KeyRefused,
    /// It refused, or said something that cannot be read.
    Unexpected,
}

impl Refusal {
    /// What a refusal, or a silence, of Stripe's is to a caller who asked for something that is there or not.
    pub(super) fn by_stripe(error: &stripe::Error) -> Self {
        if error.is_missing() || error.is_not_connected() {
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

    /// The HTTP status and the code.
    fn kind(&self) -> (StatusCode, &'static str) {
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

    /// The code.
    pub fn code(&self) -> &'static str {
        self.kind().1
    }

    /// As it is sent.
    pub(super) fn describe(&self) -> ApiError {
        let (status, code) = self.kind();
        let (retry_after, challenges) = (self.retry_after(), self.challenges());
        ApiError { retry_after, challenges, ..ApiError::new(status, code, self.sentence()) }
    }

    /// What a person reads.
    fn sentence(&self) -> String {
        let fixed = match self {
            Self::MissingKey => {
                "There is no API key in the request. Send it as Authorization: Bearer, or as the password of Basic."
            }
            Self::BadKey => "The API key is none of ours, or was revoked.",
            Self::MissingScope(scope) => {
                return format!(
                    "The API key lacks the scope {}. Make one that has it.",
                    scope.as_str()
                );
            }
            Self::RateLimited(_) => {
                "That was asked for more often than is allowed: see Retry-After."
            }
            Self::BadSignature => {
                "The request is not signed by a sender that is listened to. Check the settings under [inbound]."
            }
            Self::BadAccount => "The account in the address is not an id of the form acct_….",
            Self::BadQuery(why) => return format!("The query is not understood: {why}."),
            Self::BadPeriod(why) => {
                return format!(
                    "from and until are no stretch of time that can be told of: {why}."
                );
            }
            Self::TooManyDays => return format!("per=payout reports {MAX_DAYS} days at most."),
            Self::BadUrl => {
                "refresh_url and return_url must be https:// addresses, or http://localhost for trying out."
            }
            Self::BadAddress => {
                "That is not an email address that a letter can go to: name@example.com, in ASCII."
            }
            Self::MalformedBody(why) => {
                return format!("The body is not the JSON that this address takes: {why}.");
            }
            Self::UnreadableReport => {
                "The body is no report about a letter: neither a delivery report (RFC 3464) nor a feedback report (RFC 5965) \
                 that says which letter it is about."
            }
            Self::NotFound => "There is no such thing, or it is not this account's.",
            Self::MethodNotAllowed => "This address does not know the method.",
            Self::LinkRefused => {
                "Stripe makes no such link for this account now: for `application` it needs an open offer, for `reporting` a financing."
            }
            Self::BodyTooLarge => "The body is larger than this address takes.",
            Self::BodyTooSlow => "The body did not arrive in time.",
            Self::Stripe(silence) => silence.sentence(),
            Self::Unavailable => "That could not be done now. Send it again later.",
        };
        fixed.to_owned()
    }

    /// RFC 9110 section 11.6.1 wants every 401 to say what would do.
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

    /// After how many seconds another try makes sense, where any does.
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
    fn sentence(self) -> &'static str {
        match self {
            Self::Down => {
                "Stripe cannot be reached, or does not work just now. Send it again later."
            }
            Self::Busy(_) => "Stripe's rate limit leaves no room just now: see Retry-After.",
            Self::KeyRefused => {
                "Stripe does not take the platform's key for this: an operator must look."
            }
            Self::Unexpected => {
                "Stripe refused, or answered something that cannot be read: an operator must look."
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
            BodyError::Broken => Self::MalformedBody("it broke off".into()),
            BodyError::OutOfMemory => Self::Unavailable,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.describe().into_response()
    }
}
