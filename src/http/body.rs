//! Reads request bodies, within limits on size, time, and the memory of all bodies together.
//!
//! Most bodies must be read before the sender can be authenticated, because the signature covers
//! the body. Their memory is therefore bounded without knowing who sends them: each body may use 16
//! KB, which the connection limit bounds; anything beyond comes from one budget for the process.
//! Stripe's events about Capital have about 4 KB, so they get through even when others have
//! exhausted the budget.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::telemetry::LogLimit;

#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// At most [`MAX_BYTES`].
    pub max_bytes: usize,
    /// From the end of the headers to the end of the body.
    pub timeout: Duration,
}

/// Why a body was not read. Already logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than allowed, or announced as such.
    TooLarge,
    TooSlow,
    /// The connection broke, or the encoding is invalid.
    Broken,
    /// The budget of the process is exhausted.
    OutOfMemory,
}

/// The largest limit a caller may set: a larger body could exhaust the budget alone.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
const BUDGET_BYTES: usize = 64 * 1024 * 1024;
/// The part of each body that does not count towards the budget.
const FREE_BYTES: usize = 16 * 1024;
/// Bytes per semaphore permit.
const UNIT_BYTES: usize = 1024;

/// Memory is shared by the whole process, and so is the budget.
static BUDGET: Semaphore = Semaphore::const_new(BUDGET_BYTES / UNIT_BYTES);
static REFUSED: LogLimit = LogLimit::new();

/// Reads the whole body. A body that announces too much is not read at all.
pub async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Bytes, BodyError> {
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
                error = error.as_str(),
                "cannot read a request body"
            );
        });
    })
}

impl BodyError {
    fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too large",
            Self::TooSlow => "timed out",
            Self::Broken => "the connection broke",
            Self::OutOfMemory => "the memory budget is exhausted",
        }
    }
}

async fn collect(
    mut body: Body,
    max_bytes: usize,
    budget: &'static Semaphore,
) -> Result<Bytes, BodyError> {
    let mut buffer = BudgetedBytes::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(error = %error, "a request body was incomplete");
            BodyError::Broken
        })?;
        // Trailers are ignored.
        let Ok(data) = frame.into_data() else { continue };
        let length = buffer.bytes.len() + data.len();
        // Checked per frame: a chunked body announces no length.
        if length > max_bytes {
            return Err(BodyError::TooLarge);
        }
        buffer.grow(length, budget)?;
        buffer.bytes.extend_from_slice(&data);
    }
    Ok(Bytes::from_owner(buffer))
}

/// A buffer and its share of the budget, which is returned when the last clone is dropped.
#[derive(Default)]
struct BudgetedBytes {
    bytes: Vec<u8>,
    permit: Option<SemaphorePermit<'static>>,
}

impl BudgetedBytes {
    /// Grows to `length` bytes. Permits are acquired for allocated memory only, so a body that
    /// announces much and sends little costs little.
    fn grow(&mut self, length: usize, budget: &'static Semaphore) -> Result<(), BodyError> {
        if length <= self.bytes.capacity() {
            return Ok(());
        }
        // Doubling keeps the number of copies logarithmic.
        let capacity = length.next_power_of_two();
        let acquired = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = capacity.saturating_sub(FREE_BYTES).div_ceil(UNIT_BYTES) - acquired;
        let missing = u32::try_from(missing).map_err(|_| BodyError::OutOfMemory)?;
        // Never wait for permits: bodies waiting for each other's memory would deadlock.
        let more = budget.try_acquire_many(missing).map_err(|_| BodyError::OutOfMemory)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        // Permits are acquired before the allocation, so memory never exceeds the budget.
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }
}

impl AsRef<[u8]> for BudgetedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{self, StreamExt};

    /// A budget of its own for each test.
    fn budget(bytes: usize) -> &'static Semaphore {
        Box::leak(Box::new(Semaphore::new(bytes / UNIT_BYTES)))
    }

    fn in_chunks(length: usize, chunk: usize) -> Body {
        let chunks = vec![b'x'; length].chunks(chunk).map(<[u8]>::to_vec).collect::<Vec<_>>();
        Body::from_stream(stream::iter(chunks).map(Ok::<_, std::io::Error>))
    }

    #[tokio::test]
    async fn memory_is_returned_with_the_last_clone() {
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
    async fn an_exhausted_budget_refuses_large_bodies_only() {
        let budget = budget(64 * 1024);
        let _first = collect(in_chunks(60_000, 60_000), MAX_BYTES, budget).await.unwrap();
        let second = collect(in_chunks(60_000, 1000), MAX_BYTES, budget).await;
        assert_eq!(second.unwrap_err(), BodyError::OutOfMemory);
        assert_eq!(budget.available_permits(), 16, "one that was refused gives back what it had");
        let small = in_chunks(FREE_BYTES, 1);
        assert_eq!(collect(small, MAX_BYTES, budget).await.unwrap().len(), FREE_BYTES);
    }

    #[tokio::test]
    async fn a_stalled_body_costs_only_what_it_sent() {
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
