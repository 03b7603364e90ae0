//! Peers that occupy shared resources: connections, memory, log lines.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgPool;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::process::{Process, post, world};

const STUCK: usize = 120;

/// A connection with a small receive window that asks for 7 MB and reads none of it.
async fn stuck(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    stream
        .write_all(&b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100))
        .await
        .unwrap();
    stream
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn stuck_connections_delay_no_webhook_probe_or_shutdown(db: PgPool) {
    let (_stripe, _relay, mut env) = world(&db).await;
    env.insert("COURIER_HTTP__MAX_CONNECTIONS".to_owned(), "50".to_owned());
    let mut process = Process::serve(&env).await;
    let webhook = process.webhook.clone().unwrap();
    let address = webhook.trim_start_matches("http://").trim_end_matches("/webhooks/stripe");
    let mut all = Vec::new();
    for number in 0..STUCK {
        all.push(stuck(address).await);
        if number % 20 == 0 {
            let event = format!(r#"{{"id":"evt_{number}","type":"charge.succeeded"}}"#);
            assert_eq!(post(&webhook, event.into_bytes()).await, 200, "with {number} connections");
        }
    }
    let ops = process.logged_lines("health and metrics at");
    let ready = format!("http://{}/readyz", ops[0]["address"].as_str().unwrap());
    assert_eq!(reqwest::get(ready).await.unwrap().status(), 200);
    let evicted = process.logged_lines("too many connections");
    assert!(!evicted.is_empty() && evicted.len() < STUCK / 4, "{} lines", evicted.len());

    let stopped = std::time::Instant::now();
    process.signal("-TERM");
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.logged());
    assert!(stopped.elapsed() < Duration::from_secs(10), "a stop took {:?}", stopped.elapsed());
    assert!(
        !process.logged().contains("stopped before running work finished"),
        "{}",
        process.logged()
    );
    drop(all);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn log_lines_anyone_can_cause_are_limited(db: PgPool) {
    let (_stripe, _relay, env) = world(&db).await;
    let process = Process::serve(&env).await;
    let webhook = process.webhook.clone().unwrap();
    let report = webhook.replace("/webhooks/stripe", "/inbound/bounces");
    let client = reqwest::Client::builder().build().unwrap();
    let mut refused = 0;
    // Until one line of each kind reports suppressed ones.
    let suppressed = |message: &str| {
        let lines = process.logged_lines(message);
        lines.iter().filter_map(|line| line["log.suppressed"].as_u64()).sum::<u64>()
    };
    let refusing = async {
        while suppressed("rejected a webhook request") == 0 || suppressed("refused a caller") == 0 {
            assert_eq!(client.post(&webhook).body("{}").send().await.unwrap().status(), 400);
            assert_eq!(client.post(&report).body("{}").send().await.unwrap().status(), 401);
            refused += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refusing).await.expect("a second passes");
    for message in ["rejected a webhook request", "refused a caller"] {
        let lines = process.logged_lines(message);
        let written = u64::try_from(lines.len()).unwrap();
        assert!(written < refused / 2, "{written} lines of {message} for {refused} requests");
        assert!(written + suppressed(message) <= refused, "{lines:?}");
        assert!(lines.iter().all(|line| line["code"].is_string()), "{lines:?}");
    }
    // Each kind has its own limit.
    assert_eq!(post(&webhook, b"no JSON".to_vec()).await, 400);
    let signed = process.logged_lines("a signed body is not an event");
    assert_eq!(signed.len(), 1, "{:?}", signed.first().map(Value::to_string));
}
