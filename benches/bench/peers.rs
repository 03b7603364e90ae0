//! Two receivers to compare the webhook with, each a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use ring::hmac;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::events::SECRET;
use crate::service::free_address;
use crate::world::World;

pub struct Peer {
    pub address: SocketAddr,
    #[expect(dead_code, reason = "is killed when it is dropped")]
    child: Child,
}

impl Peer {
    /// This program once more, as a handler that verifies and parses, and stores nothing.
    pub async fn bare_axum() -> Self {
        let address = free_address();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["bare-axum", &address.port().to_string()]);
        Self::start(command, address).await
    }

    /// The receiver of bench/peers/express, which `scripts/bench` installs. None without it.
    pub async fn express(world: &World) -> Option<Self> {
        let directory = PathBuf::from(std::env::var_os("COURIER_BENCH_EXPRESS")?);
        let address = free_address();
        let mut command = Command::new("node");
        command
            .arg(directory.join("receiver.mjs"))
            .env("NODE_ENV", "production")
            .env("PORT", address.port().to_string())
            .env("DATABASE_URL", &world.db.url)
            .env("STRIPE_WEBHOOK_SECRET", SECRET);
        Some(Self::start(command, address).await)
    }

    async fn start(mut command: Command, address: SocketAddr) -> Self {
        let mut child = command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        while TcpStream::connect(address).await.is_err() {
            assert!(child.try_wait().unwrap().is_none(), "a receiver does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { address, child }
    }
}

pub async fn serve_bare_axum(port: u16) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let receive =
        move |headers: HeaderMap, body: Bytes| std::future::ready(answer(&key, &headers, &body));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    let router = Router::new().route("/webhooks/stripe", post(receive));
    axum::serve(listener, router).await.unwrap();
}

fn answer(key: &hmac::Key, headers: &HeaderMap, body: &[u8]) -> (StatusCode, &'static str) {
    if !is_signed(key, headers, body) {
        return (StatusCode::BAD_REQUEST, "");
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(event) if event["id"].is_string() => (StatusCode::OK, r#"{"received":true}"#),
        Ok(_) | Err(_) => (StatusCode::BAD_REQUEST, ""),
    }
}

/// `t=…,v1=…`
fn is_signed(key: &hmac::Key, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = headers.get("stripe-signature").and_then(|header| header.to_str().ok());
    let Some((time, code)) =
        header.and_then(|header| header.strip_prefix("t=")?.split_once(",v1="))
    else {
        return false;
    };
    let signed = [time.as_bytes(), b".", body].concat();
    hex::decode(code).is_ok_and(|code| hmac::verify(key, &signed, &code).is_ok())
}
