//! Posts signed events over a number of connections, each with one request at a time, as Stripe
//! does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use stripe_simulator::sign;
use tokio::task::JoinSet;

use crate::events::SECRET;
use crate::http::Connection;

/// A whole request for this body, signed now.
pub fn request(body: &[u8]) -> Vec<u8> {
    let signature = sign(body, &[SECRET.to_owned()], Utc::now());
    let mut request = format!(
        "POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; \
         charset=utf-8\r\nStripe-Signature: {signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// What to post, and how.
#[derive(Clone)]
pub struct Load {
    pub connections: usize,
    /// When to stop, if the requests do not run out before.
    pub until: Option<Duration>,
    /// Requests per second; as fast as the answers come if absent.
    pub per_second: Option<f64>,
}

/// The requests by number; none after the last one.
pub type Source = Arc<dyn Fn(usize) -> Option<Vec<u8>> + Send + Sync>;

/// Distinct requests, made before the clock starts.
pub fn prepared(requests: Vec<Vec<u8>>) -> Source {
    let requests: Vec<_> = requests.into_iter().map(std::sync::Mutex::new).collect();
    Arc::new(move |number| {
        requests.get(number).map(|one| std::mem::take(&mut *one.lock().unwrap()))
    })
}

#[derive(Debug, Default)]
pub struct Answers {
    pub elapsed: Duration,
    /// Ascending.
    latencies: Vec<Duration>,
}

impl Answers {
    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn per_second(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// In milliseconds: 0.5 is the median.
    pub fn percentile(&self, fraction: f64) -> f64 {
        crate::figures::percentile(&self.latencies, fraction).as_secs_f64() * 1000.0
    }
}

impl Load {
    /// As fast as the answers come, until the requests run out.
    pub fn of(connections: usize) -> Self {
        Self { connections, until: None, per_second: None }
    }

    /// Posts to this address. Every answer must be 200.
    pub async fn post(&self, address: SocketAddr, source: Source) -> Answers {
        let next = Arc::new(AtomicUsize::new(0));
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(address).await.unwrap());
        }
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for connection in connections {
            let (load, source, next) = (self.clone(), Arc::clone(&source), Arc::clone(&next));
            tasks.spawn(async move { load.post_all(connection, started, &source, &next).await });
        }
        let mut latencies = Vec::new();
        while let Some(of_one) = tasks.join_next().await {
            latencies.extend(of_one.unwrap());
        }
        let elapsed = started.elapsed();
        latencies.sort_unstable();
        Answers { elapsed, latencies }
    }

    async fn post_all(
        &self,
        mut connection: Connection,
        started: Instant,
        source: &Source,
        next: &AtomicUsize,
    ) -> Vec<Duration> {
        let mut latencies = Vec::new();
        while self.until.is_none_or(|until| started.elapsed() < until) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = source(number) else { break };
            if let Some(per_second) = self.per_second {
                let due = started
                    + Duration::from_secs_f64(1.0 / per_second) * u32::try_from(number).unwrap();
                tokio::time::sleep_until(due.into()).await;
            }
            let sent = Instant::now();
            let response = connection.exchange(&request).await.unwrap();
            latencies.push(sent.elapsed());
            assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(response.body));
        }
        latencies
    }
}
