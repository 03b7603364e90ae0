//! Serves a router over HTTP/1.1, with a limit on how long headers may take and an end that cuts nobody off.
//!
//! axum's own server has no such limit, so this is its accept loop over hyper, with one. `body` reads what a request brings, `rate` counts who asks
//! how often.

pub mod body;
pub mod rate;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
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

/// Where and how to listen.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Address and port; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// How long a client may take for its request line and headers.
    pub header_timeout: Duration,
}

/// Out of file descriptors, mostly: give those that are open time to end.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Takes the address, so that a wrong or taken one is known before anything else starts.
pub async fn bind(settings: &Settings) -> io::Result<TcpListener> {
    TcpListener::bind(settings.listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", settings.listen))
    })
}

/// Serves until `stop`, then takes no new connection, lets the requests in hand finish and closes idle connections.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    header_timeout: Duration,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let router = router.fallback(not_found);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                serve_connection(stream, router.clone(), header_timeout, &graceful, &tracker);
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

fn serve_connection(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    graceful: &GracefulShutdown,
    tracker: &TaskTracker,
) {
    // Answers are small and complete: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service = router
        .map_request(|request: hyper::Request<hyper::body::Incoming>| request.map(axum::body::Body::new));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let connection = graceful.watch(connection);
    // A task of its own: a handler that panics takes its connection with it, and nothing else.
    tracker.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %error, "a connection ended early");
        }
    });
}

/// What is nowhere today may be somewhere tomorrow, and a mistyped address may hold a secret: it is in nobody's cache, and told to nobody.
async fn not_found() -> Result<Infallible, Response> {
    let private = [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];
    let body =
        serde_json::json!({"error": {"code": "not_found", "message": "There is nothing at this address."}});
    Err((StatusCode::NOT_FOUND, private, axum::Json(body)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    async fn start(router: Router) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let settings =
            Settings { listen: "127.0.0.1:0".parse().unwrap(), header_timeout: Duration::from_millis(200) };
        let listener = bind(&settings).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let serving = serve(listener, router, settings.header_timeout, tracker.clone(), stop.clone());
        (address, stop, tracker.spawn(serving))
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
        for words in
            ["cache-control: no-store", "referrer-policy: no-referrer", "{\"error\":{\"code\":\"not_found\","]
        {
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
