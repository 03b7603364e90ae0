//! Limits how long a peer may leave written data unread.
//!
//! hyper limits the time for a request's headers and nothing for a response: a peer that never
//! reads would keep its connection, and the response in memory, forever. The limit applies to each
//! stall and not to the whole response, so a large response over a slow connection completes as
//! long as it progresses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// During shutdown, a peer that reads at all does so within this time.
const LIMIT_AT_STOP: Duration = Duration::from_secs(2);

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] if the peer reads nothing for too
/// long.
pub(super) struct WriteDeadline<S> {
    stream: S,
    limit: Duration,
    stop: CancellationToken,
    /// Set while a write is pending.
    stall: Option<Stall>,
}

struct Stall {
    deadline: Pin<Box<Sleep>>,
    /// `None` once shutdown has shortened the deadline.
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<S> WriteDeadline<S> {
    pub(super) fn new(stream: S, limit: Duration, stop: CancellationToken) -> Self {
        Self { stream, limit, stop, stall: None }
    }

    /// Returns the outcome of a write, or an error if it has been pending for too long.
    fn check<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stall = None;
            return outcome;
        }
        let (limit, stop) = (self.limit, &self.stop);
        let stall = self.stall.get_or_insert_with(|| Stall {
            deadline: Box::pin(tokio::time::sleep(limit)),
            stopping: Some(Box::pin(stop.clone().cancelled_owned())),
        });
        // Polled until it fires once: the shutdown must wake a write that is already pending.
        if stall.stopping.as_mut().is_some_and(|stopping| stopping.as_mut().poll(cx).is_ready()) {
            stall.stopping = None;
            let earlier = stall.deadline.deadline().min(Instant::now() + LIMIT_AT_STOP);
            stall.deadline.as_mut().reset(earlier);
        }
        let late =
            || io::Error::new(io::ErrorKind::TimedOut, "the peer does not read the response");
        stall.deadline.as_mut().poll(cx).map(|()| Err(late()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.check(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.check(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.check(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.check(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_stalled_write_fails_at_the_limit() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let limit = Duration::from_millis(100);
        let mut stream = WriteDeadline::new(ours, limit, CancellationToken::new());
        let begun = Instant::now();
        let error = stream.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= limit, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_whole_response() {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let limit = Duration::from_secs(2);
        let mut stream = WriteDeadline::new(ours, limit, CancellationToken::new());
        let begun = Instant::now();
        let reading = async {
            let mut read = Vec::new();
            for _ in 0..5 {
                tokio::time::sleep(limit / 4).await;
                read.push(theirs.read_u8().await.unwrap());
            }
            read
        };
        let (written, read) = tokio::join!(stream.write_all(b"01234"), reading);
        written.unwrap();
        assert_eq!(read, b"01234");
        assert!(begun.elapsed() > limit);
    }

    #[tokio::test]
    async fn shutdown_shortens_a_pending_write() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let stop = CancellationToken::new();
        let mut stream = WriteDeadline::new(ours, Duration::from_hours(1), stop.clone());
        let data = [0; 9];
        let writing = stream.write_all(&data);
        tokio::pin!(writing);
        assert!(futures_util::poll!(&mut writing).is_pending());
        stop.cancel();
        let written =
            tokio::time::timeout(Duration::from_mins(1), writing).await.expect("not in an hour");
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
