//! What can go wrong when we ask Stripe, sorted by what to do about it
//! (<https://docs.stripe.com/api/errors>, <https://docs.stripe.com/error-low-level>).

use std::time::Duration;

use super::rate_limit::Limit;
use crate::queue::{Next, Retryable};

/// A call that did not bring what we asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stripe was not asked: its rate limit leaves no room for so long.
    #[error("Stripe's rate limit leaves no room for {} s", .0.as_secs())]
    NotYet(Duration),
    /// The connection failed or the time ran out: whether Stripe did it is unknown.
    #[error("got no answer from Stripe")]
    NoAnswer(#[source] reqwest::Error),
    /// Something between us and Stripe answered in its place: a proxy, a captive portal, a load balancer.
    /// Its status and its headers say nothing about our call.
    #[error(
        "the answer ({status}) does not come from Stripe: a proxy, a captive portal or a load balancer \
         on the way gave it; check the way out to stripe.api_base"
    )]
    NotStripe {
        /// The HTTP status.
        status: u16,
    },
    /// Stripe answered with an error object.
    #[error("Stripe answered {status} {} (request {})", code.as_deref().unwrap_or("without a code"),
            request_id.as_deref().unwrap_or("unknown"))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// `error.code`, else `error.type`.
        code: Option<String>,
        /// `Request-Id`: what Stripe's support asks for.
        request_id: Option<String>,
        /// `Retry-After`.
        retry_after: Option<Duration>,
        /// `Stripe-Should-Retry`: Stripe's own word, above any rule of ours.
        should_retry: Option<bool>,
        /// `Stripe-Rate-Limited-Reason` of a 429.
        limited: Option<String>,
        /// The body, for the record.
        body: Option<serde_json::Value>,
    },
    /// Stripe answered 2xx with an object that we cannot read: a new shape.
    #[error("cannot read Stripe's answer (request {})", request_id.as_deref().unwrap_or("unknown"))]
    Unreadable {
        /// `Request-Id`.
        request_id: Option<String>,
        /// Where reading failed.
        #[source]
        source: serde_json::Error,
    },
}

/// A wrong key is wrong for every job. People need minutes to put it right, so asking every few seconds helps nobody.
const AFTER_WRONG_KEY: Duration = Duration::from_mins(5);

/// A 429 without `Retry-After`: Stripe's limits are by the second.
const AFTER_429: Duration = Duration::from_secs(1);

impl Error {
    /// True where the same Idempotency-Key must be used again: Stripe may have done it, or may be doing it now.
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::NotYet(_) => false,
            // A gateway may have passed the call on before it answered by itself.
            Self::NoAnswer(_) | Self::NotStripe { .. } | Self::Unreadable { .. } => true,
            Self::Refused { status, .. } => *status == 409,
        }
    }

    /// True where the offer itself should be looked at: Stripe does not document what it answers where an offer is delivered
    /// already, so any 4xx about the call may say that.
    pub fn may_mean_done(&self) -> bool {
        match self {
            Self::NotYet(_)
            | Self::NoAnswer(_)
            | Self::NotStripe { .. }
            | Self::Unreadable { .. } => false,
            Self::Refused { status, .. } => matches!(status, 400 | 402 | 404..=428 | 430..=499),
        }
    }

    /// True where Stripe says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// True where Stripe says that something that we named is not there: also an id that a page was to begin after.
    pub fn is_missing(&self) -> bool {
        let is_named = |code: &str| code == "resource_missing";
        self.is_not_found()
            || matches!(self, Self::Refused { status: 400, code, .. } if code.as_deref().is_some_and(is_named))
    }

    /// True where Stripe says that an account is not, or no longer, connected to the platform: that is about the account, and not about
    /// the key, although it has the status of a key that may not do something.
    pub fn is_not_connected(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403, code, .. } if code.as_deref() == Some("account_invalid"))
    }

    /// True where what was asked for is not there: neither it nor the account on the platform.
    pub fn is_gone(&self) -> bool {
        self.is_not_found() || self.is_not_connected()
    }

    /// True where Stripe understood, and will not do it: asking again changes nothing.
    pub fn is_refusal(&self) -> bool {
        self.is_not_connected() || matches!(self, Self::Refused { status: 400 | 402 | 404, .. })
    }

    /// True where Stripe itself, or the way to it, is broken. An object of a shape that we do not know is
    /// Stripe at work: one call that has changed must not keep all others from being made.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::NotYet(_) | Self::Unreadable { .. } => false,
            Self::NoAnswer(_) | Self::NotStripe { .. } => true,
            Self::Refused { status, .. } => (500..=599).contains(status),
        }
    }

    /// True where no call of ours will be answered.
    pub fn is_wrong_key(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. }) && !self.is_not_connected()
    }

    /// What is wrong with the API key and what to do about it, where Stripe's answer says so.
    pub fn key_problem(&self) -> Option<&'static str> {
        let lacks_permission =
            matches!(self, Self::Refused { status: 403, .. }) && !self.is_not_connected();
        if self.is_wrong_key() {
            Some(
                "Stripe rejects STRIPE_API_KEY (401): no offer is read, no letter is sent; set it to a valid \
                 secret or restricted key of the platform and restart",
            )
        } else if lacks_permission {
            Some(
                "STRIPE_API_KEY lacks a permission (403): enable Capital for the platform, let the restricted \
                 key read and write Capital offers and read accounts, or use another key",
            )
        } else {
            None
        }
    }

    /// Whom a 429 tells to slow down (<https://docs.stripe.com/rate-limits>).
    pub(super) fn limit(&self) -> Option<Limit> {
        let Self::Refused { status: 429, code, limited, .. } = self else { return None };
        Some(match limited.as_deref() {
            Some("global-rate" | "global-concurrency") => Limit::Account,
            Some("endpoint-rate" | "endpoint-concurrency") => Limit::Endpoint,
            Some("resource-specific") => Limit::Object,
            Some(_) | None if code.as_deref() == Some("lock_timeout") => Limit::Object,
            Some(_) | None => Limit::Account,
        })
    }
}

impl Retryable for Error {
    fn next(&self) -> Next {
        match self {
            Self::NotYet(pause) => Next::Postpone(*pause),
            Self::NoAnswer(_) | Self::NotStripe { .. } | Self::Unreadable { .. } => Next::TryAgain,
            // Stripe did nothing, as its limiters stand before the work. That is nobody's fault but our speed's.
            Self::Refused { status: 429, retry_after, .. } => {
                Next::Postpone(retry_after.unwrap_or(AFTER_429))
            }
            Self::Refused { should_retry: Some(false), .. } => Next::GiveUp,
            Self::Refused { should_retry: Some(true), retry_after, .. } => again(*retry_after),
            Self::Refused { status, retry_after, .. } => match status {
                401 => Next::Postpone(AFTER_WRONG_KEY),
                403 => Next::TryAgainIn(AFTER_WRONG_KEY),
                // 424 is a dependency of Stripe's that failed; 409 is the same key in flight, or a lock.
                409 | 424 | 500..=599 => again(*retry_after),
                _ => Next::GiveUp,
            },
        }
    }
}

fn again(retry_after: Option<Duration>) -> Next {
    retry_after.map_or(Next::TryAgain, Next::TryAgainIn)
}
