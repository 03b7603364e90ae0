//! Serves a router over HTTP/1.1, bounds what a peer can occupy without progress, and shuts down
//! without cutting off requests.
//!
//! axum's own server has no such limits, so this is its accept loop over hyper, with them.
//!
//! | limit | applies to |
//! |---|---|
//! | `header_timeout` | silent and idle connections, and slow headers (hyper) |
//! | `write_timeout` | a peer that does not read the response (`write_deadline`) |
//! | `max_connections` | all connections of a listener (`connections`) |
//! | `HEAD_BYTES` | the request line and headers, and the buffered part of a response |
//! | [`body`] | time and memory of request bodies |
//!
//! `rate` limits requests per caller; [`metrics`] counts requests by route.

pub mod api_error;
pub mod body;
pub mod client;
mod connections;
mod loopback;
pub mod metrics;
pub mod rate;
mod write_deadline;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::telemetry::LogLimit;
use api_error::ApiError;
use connections::{ConnectionSlot, ConnectionTable};

pub use connections::{VerifiedRequest, cap_to_descriptors, raise_descriptor_limit};
pub use loopback::is_loopback;
use write_deadline::WriteDeadline;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Port 0 selects a free one.
    pub listen: SocketAddr,
    pub limits: ConnectionLimits,
}

#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// For the request line and headers.
    pub header_timeout: Duration,
    /// How long a client may leave a response unread.
    pub write_timeout: Duration,
    /// Per listener.
    pub max_connections: usize,
}

/// `accept` mostly fails for lack of file descriptors; the pause lets open connections end.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);
/// The longest request line with headers, which every connection may hold in memory. hyper's
/// default is 400 KB. Our longest is a link with a dashboard token, about 500 bytes.
const HEAD_BYTES: usize = 32 * 1024;

static LOG_LIMIT: LogLimit = LogLimit::new();

/// Binds early, so that a wrong or occupied address is reported before anything else starts.
pub async fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))
    })
}

/// Serves until `stop`, then accepts no new connection, finishes open requests and closes idle
/// connections.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let router = router.fallback(not_found);
    let (graceful, connections) =
        (GracefulShutdown::new(), ConnectionTable::new(limits.max_connections));
    loop {
        let accepted = tokio::select! {
            // Shutdown is checked first, so a full backlog cannot delay it.
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (slot, evicted) = connections.admit();
                if evicted {
                    LOG_LIMIT.write("evicted", |suppressed| {
                        tracing::warn!(
                            log.suppressed = suppressed,
                            limit = limits.max_connections,
                            "too many connections: closed the oldest"
                        );
                    });
                }
                // Responses are small and complete, so Nagle's algorithm would only delay them.
                let _ = stream.set_nodelay(true);
                let stream = WriteDeadline::new(stream, limits.write_timeout, stop.clone());
                let connection = (stream, peer);
                tracker.spawn(serve_connection(
                    connection,
                    slot,
                    router.clone(),
                    limits,
                    &graceful,
                ));
            }
            Err(error) => {
                LOG_LIMIT.write("accept", |suppressed| {
                    tracing::warn!(
                        log.suppressed = suppressed,
                        error = %error,
                        "cannot accept a connection"
                    );
                });
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    // Close the port before waiting, so that a load balancer sends no more connections.
    drop(listener);
    graceful.shutdown().await;
}

/// Each connection is a task, so a panicking handler closes only its own connection.
fn serve_connection(
    (stream, peer): (WriteDeadline<TcpStream>, SocketAddr),
    slot: ConnectionSlot,
    router: Router,
    limits: ConnectionLimits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let slot = Arc::new(slot);
    // The connection and its requests share one slot: only a response shows whether the request was
    // verified.
    let slot_of_requests = Arc::clone(&slot);
    let service = router
        .map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(axum::body::Body::new)
        })
        .map_response(move |response: Response| {
            if response.extensions().get::<VerifiedRequest>().is_some() {
                slot_of_requests.renew();
            }
            response
        });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let connection = graceful.watch(connection);
    async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(error = %error, "a connection ended early");
            },
            // Dropping the connection future closes the socket at once.
            () = slot.evicted() => {}
        }
    }
}

/// 404s must not be cached, because a route may exist after an upgrade, and a mistyped URL may
/// contain a token, so send no referrer.
async fn not_found() -> impl IntoResponse {
    let private = [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];
    let message = "There is nothing at this address.";
    (private, ApiError::new(StatusCode::NOT_FOUND, "not_found", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    async fn start(router: Router) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        start_with(router, LIMITS).await
    }

    const LIMITS: ConnectionLimits = ConnectionLimits {
        header_timeout: Duration::from_millis(200),
        write_timeout: Duration::from_secs(30),
        max_connections: 64,
    };

    async fn start_with(
        router: Router,
        limits: ConnectionLimits,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let serving = serve(listener, router, limits, tracker.clone(), stop.clone());
        (address, stop, tracker.spawn(serving))
    }

    /// Sends a request on a connection that stays open, and returns the first bytes of the
    /// response.
    async fn ask(client: &mut TcpStream) -> String {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 4096];
        let length = client.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed() {
        let (address, _stop, _task) =
            start(Router::new().route("/", axum::routing::get(async || "here"))).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut client).await.ends_with("here"));
        let mut rest = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(10), client.read_to_end(&mut rest)).await;
        closed.expect("it is closed").unwrap();
    }

    #[tokio::test]
    async fn at_the_limit_a_new_connection_replaces_the_oldest() {
        let limits = ConnectionLimits {
            header_timeout: Duration::from_mins(1),
            max_connections: 3,
            ..LIMITS
        };
        let (address, _stop, _task) =
            start_with(Router::new().route("/", axum::routing::get(async || "here")), limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut others = Vec::new();
        for _ in 0..5 {
            let mut client = TcpStream::connect(address).await.unwrap();
            assert!(ask(&mut client).await.ends_with("here"));
            others.push(client);
        }
        assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0, "it never asked for anything");
        let newest = others.last_mut().unwrap();
        assert!(ask(newest).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected() {
        let limits = ConnectionLimits { write_timeout: Duration::from_millis(200), ..LIMITS };
        let large = Router::new().route("/", axum::routing::get(async || "x".repeat(100_000)));
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let serving = tokio_util::task::TaskTracker::new();
        serving.spawn(serve(listener, large, limits, tracker.clone(), stop.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
        client.write_all(&requests).await.unwrap();
        // The first bytes show that the request is being served; nothing more is read.
        client.readable().await.unwrap();
        tracker.close();
        tokio::time::timeout(Duration::from_secs(10), tracker.wait()).await.expect("it is cut off");
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        assert!(rest.len() < 200 * 100_000, "all {} bytes were sent", rest.len());
        stop.cancel();
    }

    #[tokio::test]
    async fn endless_headers_are_refused() {
        let (address, _stop, _task) = start(Router::new()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(HEAD_BYTES));
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn incomplete_headers_time_out() {
        let (address, _stop, _task) = start(Router::new()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }

    #[tokio::test]
    async fn an_unknown_path_is_a_private_json_404() {
        let known = Router::new().route("/api/v1/known", axum::routing::get(async || "here"));
        let (address, _stop, _task) = start(known).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET /api/v1/other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        for words in [
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "{\"error\":{\"code\":\"not_found\",",
        ] {
            assert!(answer.contains(words), "no {words} in {answer}");
        }
    }

    #[tokio::test]
    async fn shutdown_finishes_open_requests_and_accepts_no_others() {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (in_begun, in_go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        let slow = async move || {
            in_begun.notify_one();
            in_go_on.notified().await;
            "done"
        };
        let (address, stop, task) = start(Router::new().route("/", axum::routing::get(slow))).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        begun.notified().await;
        stop.cancel();
        go_on.notify_one();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        task.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
