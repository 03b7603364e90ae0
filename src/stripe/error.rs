//! What can go wrong when we ask Stripe, sorted by what to do about it
//! (<https://docs.stripe.com/api/errors>, <https://docs.stripe.com/error-low-level>).

use std::time::Duration;

use crate::queue::{Next, Retryable};

/// A call that did not bring what we asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed or the time ran out: whether Stripe did it is unknown.
    #[error("got no answer from Stripe")]
    NoAnswer(#[source] reqwest::Error),
    /// Stripe answered, and said no.
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
        /// The body, for the record.
        body: Option<serde_json::Value>,
    },
    /// Stripe answered 2xx with something that we cannot read: a proxy's page, or a new shape.
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

impl Error {
    /// True where the same Idempotency-Key must be used again: Stripe may have done it, or may be doing it now.
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::NoAnswer(_) | Self::Unreadable { .. } => true,
            Self::Refused { status, .. } => *status == 409,
        }
    }
}

impl Retryable for Error {
    fn next(&self) -> Next {
        match self {
            Self::NoAnswer(_) | Self::Unreadable { .. } => Next::TryAgain,
            Self::Refused { should_retry: Some(false), .. } => Next::GiveUp,
            Self::Refused { should_retry: Some(true), retry_after, .. } => again(*retry_after),
            Self::Refused { status, retry_after, .. } => match status {
                401 | 403 => Next::TryAgainIn(AFTER_WRONG_KEY),
                // 424 is a dependency of Stripe's that failed; 409 is the same key in flight, or a lock.
                409 | 424 | 429 | 500..=599 => again(*retry_after),
                _ => Next::GiveUp,
            },
        }
    }
}

fn again(retry_after: Option<Duration>) -> Next {
    retry_after.map_or(Next::TryAgain, Next::TryAgainIn)
}
