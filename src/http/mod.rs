//! Serves a router over HTTP/1.1, with limits on what a peer may hold without giving anything, and an end that cuts nobody off.
//!
//! axum's own server has no such limits, so this is its accept loop over hyper, with them.
//!
//! | limit | holds for |
//! |---|---|
//! | `header_timeout` | silent and idle connections, and headers that arrive slowly (hyper) |
//! | `write_timeout` | a peer that does not read the response (`write_deadline`) |
//! | `max_connections` | all connections of a listener (`connections`) |
//! | `HEAD_BYTES` | the request line and headers, and what is buffered of a response |
//! | [`body`] | time and memory of request bodies |
//!
//! `rate` counts who asks how often, `descriptors` raises the limit on open files.

pub mod api_error;
pub mod body;
pub mod client;
mod connections;
pub mod descriptors;
mod loopback;
pub mod rate;
mod write_deadline;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
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
use connections::{Connections, Slot};

pub use connections::Proven;
pub use loopback::is_loopback;
use write_deadline::WriteDeadline;

/// Where and how to listen.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Address and port; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// What each connection may take.
    pub limits: Limits,
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a client may take for its request line and headers.
    pub header_timeout: Duration,
    /// How long a client may leave a response unread.
    pub write_timeout: Duration,
    /// How many there may be at once.
    pub max_connections: usize,
}

/// Out of file descriptors, mostly: give those that are open time to end.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);
/// The longest request line with headers, which every connection may have in memory. hyper's own limit is 400 KB.
/// The longest that we make is a link with a dashboard's token, of some 500 bytes.
const HEAD_BYTES: usize = 32 * 1024;

static LINES: LogLimit = LogLimit::new();

/// Takes the address, so that a wrong or taken one is known before anything else starts.
pub async fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))
    })
}

/// Serves until `stop`, then takes no new connection, lets the requests in hand finish and closes idle connections.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let router = router.fallback(not_found);
    let (graceful, connections) =
        (GracefulShutdown::new(), Connections::new(limits.max_connections));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (slot, evicted) = connections.admit();
                if evicted {
                    LINES.write("evicted", |suppressed| {
                        tracing::warn!(
                            log.suppressed = suppressed,
                            limit = limits.max_connections,
                            "too many connections: closed the oldest"
                        );
                    });
                }
                // Responses are small and complete: waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                let stream = WriteDeadline::new(stream, limits.write_timeout, stop.clone());
                tracker.spawn(serve_connection(stream, slot, router.clone(), limits, &graceful));
            }
            Err(error) => {
                LINES.write("accept", |suppressed| {
                    tracing::warn!(log.suppressed = suppressed, error = %error, "cannot accept a connection");
                });
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Its future is a task of its own: a handler that panics takes its connection with it, and nothing else.
fn serve_connection(
    stream: WriteDeadline<TcpStream>,
    slot: Slot,
    router: Router,
    limits: Limits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let slot = Arc::new(slot);
    let of_requests = Arc::clone(&slot);
    let service = router
        .map_request(|request: hyper::Request<hyper::body::Incoming>| {
            request.map(axum::body::Body::new)
        })
        .map_response(move |response: Response| {
            if response.extensions().get::<Proven>().is_some() {
                of_requests.proven();
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
            () = slot.evicted() => {}
        }
    }
}

/// What is nowhere today may be somewhere tomorrow, and a mistyped address may hold a secret: it is in nobody's cache, and told to nobody.
async fn not_found() -> Result<Infallible, Response> {
    let private = [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];
    let body = serde_json::json!({"error": {"code": "not_found", "message": "There is nothing at this address."}});
    Err((StatusCode::NOT_FOUND, private, axum::Json(body)).into_response())
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

    const LIMITS: Limits = Limits {
        header_timeout: Duration::from_millis(200),
        write_timeout: Duration::from_secs(30),
        max_connections: 64,
    };

    async fn start_with(
        router: Router,
        limits: Limits,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let serving = serve(listener, router, limits, tracker.clone(), stop.clone());
        (address, stop, tracker.spawn(serving))
    }

    /// Sends a request on a connection that stays open, and reads the response's first bytes.
    async fn ask(client: &mut TcpStream) -> String {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 4096];
        let length = client.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_after_a_request_as_before_one() {
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
    async fn with_all_connections_taken_a_new_one_is_served_and_the_longest_idle_closed() {
        let limits =
            Limits { header_timeout: Duration::from_mins(1), max_connections: 3, ..LIMITS };
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
    async fn a_client_that_does_not_read_is_cut_off_and_its_connection_given_back() {
        let limits = Limits { write_timeout: Duration::from_millis(200), ..LIMITS };
        let large = Router::new().route("/", axum::routing::get(async || "x".repeat(100_000)));
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let serving = tokio_util::task::TaskTracker::new();
        serving.spawn(serve(listener, large, limits, tracker.clone(), stop.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
        client.write_all(&requests).await.unwrap();
        // Its first bytes say that it is being served; it reads no more.
        client.readable().await.unwrap();
        tracker.close();
        tokio::time::timeout(Duration::from_secs(10), tracker.wait()).await.expect("it is cut off");
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        assert!(rest.len() < 200 * 100_000, "all {} bytes were sent", rest.len());
        stop.cancel();
    }

    #[tokio::test]
    async fn headers_without_end_are_refused_before_they_fill_the_memory() {
        let (address, _stop, _task) = start(Router::new()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(HEAD_BYTES));
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_does_not_end_its_headers_is_cut_off() {
        let (address, _stop, _task) = start(Router::new()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }

    #[tokio::test]
    async fn an_unknown_address_is_not_found_in_the_shape_of_all_refusals_and_in_nobodys_cache() {
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
    async fn a_stop_lets_the_request_in_hand_finish_and_takes_no_other() {
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
