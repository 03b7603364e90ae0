//! Reads a request's body, within limits on its size, its time, and the memory that all bodies take together.
//!
//! Most bodies have to be read before anyone can tell whether they are genuine, because what is signed is the body.
//! So their memory is bounded without knowing who sends them: each body may take 16 KB, which the cap on
//! connections bounds; what is beyond comes out of one budget for the whole process. Stripe's events about Capital
//! are some 4 KB, so they get through even while others have used the budget up.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::telemetry::LogLimit;

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest that is read; [`MAX_BYTES`] at most.
    pub max_bytes: usize,
    /// From the end of the headers to the end of the body.
    pub timeout: Duration,
}

/// Why there is no body. The log has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is larger than it may be, or says that it will be.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The line broke, or it is none.
    Broken,
    /// The budget for bodies is used up.
    OutOfMemory,
}

/// Larger ones can never be read: they would take the budget for themselves.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
const BUDGET_BYTES: usize = 64 * 1024 * 1024;
/// What each body may take outside of the budget.
const FREE_BYTES: usize = 16 * 1024;
/// Of one permit.
const UNIT_BYTES: usize = 1024;

/// Cache is the process's, and so is its budget.
static BUDGET: Semaphore = Semaphore::const_new(BUDGET_BYTES / UNIT_BYTES);
static REFUSED: LogLimit = LogLimit::new();

/// Reads the whole body. One that announces too much is not read at all.
pub async fn read(headers: &HeaderMap, body: Body, limits: Limits) -> Result<Bytes, BodyError> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let read = if announced.is_some_and(|length| length > limits.max_bytes) {
        Err(BodyError::TooLarge)
    } else {
        let reading = collect(body, limits.max_bytes, &BUDGET);
        tokio::time::timeout(limits.timeout, reading).await.unwrap_or(Err(BodyError::TooSlow))
    };
    read.inspect_err(|error| {
        REFUSED.write(error.as_str(), |suppressed| {
            let limit = limits.max_bytes;
            tracing::warn!(
                log.suppressed = suppressed,
                announced,
                limit,
                "cannot read a body: {}",
                error.as_str()
            );
        });
    })
}

impl BodyError {
    fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too large",
            Self::TooSlow => "it did not arrive in time",
            Self::Broken => "it broke off",
            Self::OutOfMemory => "the memory for bodies is used up",
        }
    }
}

async fn collect(
    mut body: Body,
    max_bytes: usize,
    budget: &'static Semaphore,
) -> Result<Bytes, BodyError> {
    let mut held = Held::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(error = %error, "a body broke off");
            BodyError::Broken
        })?;
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        let length = held.bytes.len() + data.len();
        if length > max_bytes {
            return Err(BodyError::TooLarge);
        }
        held.grow(length, budget)?;
        held.bytes.extend_from_slice(&data);
    }
    Ok(Bytes::from_owner(held))
}

/// Bytes and their part of the budget, which is given back with the last clone of them.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    permit: Option<SemaphorePermit<'static>>,
}

impl Held {
    /// Makes room for `length` bytes. Pays for what is allocated, as it is allocated: a body that announces much
    /// and sends little costs little.
    fn grow(&mut self, length: usize, budget: &'static Semaphore) -> Result<(), BodyError> {
        if length <= self.bytes.capacity() {
            return Ok(());
        }
        let capacity = length.next_power_of_two();
        let paid = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        let owed = capacity.saturating_sub(FREE_BYTES).div_ceil(UNIT_BYTES) - paid;
        let owed = u32::try_from(owed).map_err(|_| BodyError::OutOfMemory)?;
        let more = budget.try_acquire_many(owed).map_err(|_| BodyError::OutOfMemory)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{self, StreamExt};

    /// A budget that nobody else uses.
    fn budget(bytes: usize) -> &'static Semaphore {
        Box::leak(Box::new(Semaphore::new(bytes / UNIT_BYTES)))
    }

    fn in_chunks(length: usize, chunk: usize) -> Body {
        let chunks = vec![b'x'; length].chunks(chunk).map(<[u8]>::to_vec).collect::<Vec<_>>();
        Body::from_stream(stream::iter(chunks).map(Ok::<_, std::io::Error>))
    }

    #[tokio::test]
    async fn what_a_body_allocates_counts_until_its_last_clone_is_dropped() {
        let budget = budget(64 * 1024);
        let body = collect(in_chunks(40_000, 1000), MAX_BYTES, budget).await.unwrap();
        assert_eq!(&body[..], vec![b'x'; 40_000]);
        assert_eq!(budget.available_permits(), 16, "64 KB were allocated, 16 KB of them for free");
        let part = body.slice(..1);
        drop(body);
        assert_eq!(budget.available_permits(), 16);
        drop(part);
        assert_eq!(budget.available_permits(), 64);
    }

    #[tokio::test]
    async fn a_large_body_is_refused_once_the_budget_is_used_up_and_a_small_one_never() {
        let budget = budget(64 * 1024);
        let _first = collect(in_chunks(60_000, 60_000), MAX_BYTES, budget).await.unwrap();
        let second = collect(in_chunks(60_000, 1000), MAX_BYTES, budget).await;
        assert_eq!(second.unwrap_err(), BodyError::OutOfMemory);
        assert_eq!(budget.available_permits(), 16, "one that was refused gives back what it had");
        let small = in_chunks(FREE_BYTES, 1);
        assert_eq!(collect(small, MAX_BYTES, budget).await.unwrap().len(), FREE_BYTES);
    }

    #[tokio::test]
    async fn a_body_that_stops_short_costs_what_it_sent_and_not_what_it_announced() {
        let budget = budget(1024 * 1024);
        let started = stream::iter([Ok::<_, std::io::Error>(vec![b'x'; 30_000])]);
        let body = Body::from_stream(started.chain(stream::pending()));
        let reading =
            tokio::time::timeout(Duration::from_millis(20), collect(body, MAX_BYTES, budget));
        tokio::pin!(reading);
        assert!(futures_util::poll!(&mut reading).is_pending());
        assert_eq!(budget.available_permits(), 1024 - 16);
        assert!(reading.await.is_err());
    }
}
