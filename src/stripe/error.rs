//! Errors of calls to Stripe, classified by how to handle them
//! (<https://docs.stripe.com/api/errors>, <https://docs.stripe.com/error-low-level>).

use std::time::Duration;

use super::rate_limit::Limit;
use crate::queue::{Next, Retryable};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not sent: the rate limit has no capacity for this duration.
    #[error("Stripe's rate limit leaves no room for {} s", .0.as_secs())]
    NotYet(Duration),
    /// The connection failed or timed out: Stripe may have processed the request.
    #[error("got no answer from Stripe")]
    NoAnswer(#[source] reqwest::Error),
    /// The response comes from a proxy, a captive portal or a load balancer. Its status and headers
    /// say nothing about the request.
    #[error(
        "the response ({status}) does not come from Stripe but from a proxy, a captive portal or a \
         load balancer; check the network path to stripe.api_base"
    )]
    NotStripe { status: u16 },
    /// Stripe returned an error object.
    #[error("Stripe answered {status} {} (request {})", code.as_deref().unwrap_or("without a code"),
            request_id.as_deref().unwrap_or("unknown"))]
    Refused {
        status: u16,
        /// `error.code`, else `error.type`.
        code: Option<String>,
        /// The `Request-Id` header, for Stripe's support.
        request_id: Option<String>,
        /// The `Retry-After` header.
        retry_after: Option<Duration>,
        /// The `Stripe-Should-Retry` header; overrides the rules for the status.
        should_retry: Option<bool>,
        /// The `Stripe-Rate-Limited-Reason` header of a 429.
        limited: Option<String>,
        /// The body, stored as evidence.
        body: Option<serde_json::Value>,
    },
    /// Stripe returned 2xx with an object of an unknown shape.
    #[error(
        "cannot decode Stripe's response (request {})",
        request_id.as_deref().unwrap_or("unknown")
    )]
    Unreadable {
        request_id: Option<String>,
        #[source]
        source: serde_json::Error,
    },
}

/// A wrong key fails every job, and replacing it takes minutes: retry rarely.
const WRONG_KEY_DELAY: Duration = Duration::from_mins(5);

/// For a 429 without `Retry-After`: Stripe's limits are per second.
const RATE_LIMIT_DELAY: Duration = Duration::from_secs(1);

impl Error {
    /// Stripe may have processed the request, or may be processing it: retry with the same
    /// idempotency key.
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::NotYet(_) => false,
            // A gateway may have forwarded the request before it failed.
            Self::NoAnswer(_) | Self::NotStripe { .. } | Self::Unreadable { .. } => true,
            Self::Refused { status, .. } => *status == 409,
        }
    }

    /// The offer may already be delivered. Stripe does not document its response in that case, so
    /// after any 4xx about the request the offer must be fetched.
    pub fn may_mean_done(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 402 | 404..=428 | 430..=499, .. })
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// An object named in the request does not exist, including the id after which a page begins.
    pub fn is_missing(&self) -> bool {
        self.is_not_found() || self.is_refused_with(&[400], "resource_missing")
    }

    /// The account is not, or no longer, connected to the platform. Stripe reports this with the
    /// status of a permission error, but the key is valid.
    pub fn is_not_connected(&self) -> bool {
        self.is_refused_with(&[401, 403], "account_invalid")
    }

    fn is_refused_with(&self, statuses: &[u16], expected: &str) -> bool {
        matches!(self, Self::Refused { status, code: Some(code), .. }
            if statuses.contains(status) && code == expected)
    }

    /// The object does not exist, or its account is not connected.
    pub fn is_gone(&self) -> bool {
        self.is_not_found() || self.is_not_connected()
    }

    /// Stripe rejected the request: a retry gives the same response.
    pub fn is_refusal(&self) -> bool {
        self.is_not_connected() || matches!(self, Self::Refused { status: 400 | 402 | 404, .. })
    }

    /// Stripe or the network is down. An unreadable object is not an outage: a change in one
    /// endpoint must not open the circuit for all others.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::NotYet(_) | Self::Unreadable { .. } => false,
            Self::NoAnswer(_) | Self::NotStripe { .. } => true,
            Self::Refused { status, .. } => (500..=599).contains(status),
        }
    }

    /// Every call with this key fails.
    pub fn is_wrong_key(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. }) && !self.is_not_connected()
    }

    /// The key is valid and may not make this call.
    pub fn lacks_permission(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. }) && !self.is_not_connected()
    }

    /// Stripe's name of the missing permission (`rak_…`), which only the message has.
    pub(super) fn permission_name(&self) -> Option<String> {
        let message = self.message()?;
        let name = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        name.into_iter().find(|word| word.starts_with("rak_")).map(str::to_owned)
    }

    /// Stripe's explanation, for the operator alone: it may quote the request.
    pub fn message(&self) -> Option<&str> {
        let Self::Refused { body: Some(body), .. } = self else { return None };
        body.pointer("/error/message")?.as_str()
    }

    /// Instructions for the operator, if the error is caused by the API key.
    pub fn key_problem(&self) -> Option<&'static str> {
        if self.is_wrong_key() {
            Some(
                "Stripe rejects STRIPE_API_KEY (401): no offer is read, no email is sent; set it \
                 to a valid secret or restricted key of the platform and restart",
            )
        } else if self.lacks_permission() {
            Some(
                "STRIPE_API_KEY lacks a permission (403): enable Capital for the platform, let the \
                 restricted key read and write Capital offers and read accounts, or use another \
                 key",
            )
        } else {
            None
        }
    }

    /// The limit that a 429 reports (<https://docs.stripe.com/rate-limits>).
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
            // Stripe's limiters reject a request before it is processed. This counts as a delay,
            // not as a failed attempt.
            Self::Refused { status: 429, retry_after, .. } => {
                Next::Postpone(retry_after.unwrap_or(RATE_LIMIT_DELAY))
            }
            Self::Refused { should_retry: Some(false), .. } => Next::GiveUp,
            Self::Refused { should_retry: Some(true), retry_after, .. } => retry(*retry_after),
            Self::Refused { status, retry_after, .. } => match status {
                401 => Next::Postpone(WRONG_KEY_DELAY),
                403 => Next::TryAgainIn(WRONG_KEY_DELAY),
                // 409: the same idempotency key is in flight, or a lock; 424: a dependency failed.
                409 | 424 | 500..=599 => retry(*retry_after),
                _ => Next::GiveUp,
            },
        }
    }
}

fn retry(retry_after: Option<Duration>) -> Next {
    retry_after.map_or(Next::TryAgain, Next::TryAgainIn)
}
