//! A load balancer: passes each connection to the next running replica.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};

pub struct Balancer {
    address: SocketAddr,
    /// The running replicas, by number.
    replicas: Arc<Mutex<Vec<(usize, SocketAddr)>>>,
}

impl Balancer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let replicas = Arc::<Mutex<Vec<(usize, SocketAddr)>>>::default();
        let (running, turn) = (Arc::clone(&replicas), Arc::<AtomicUsize>::default());
        tokio::spawn(async move {
            loop {
                let Ok((mut client, _)) = listener.accept().await else { continue };
                let (running, turn) = (Arc::clone(&running), Arc::clone(&turn));
                tokio::spawn(async move {
                    let all: Vec<SocketAddr> =
                        running.lock().unwrap().iter().map(|(_, address)| *address).collect();
                    // If no replica answers, the connection ends and Stripe tries again later.
                    for _ in 0..all.len() {
                        let next = all[turn.fetch_add(1, Ordering::SeqCst) % all.len()];
                        if let Ok(mut replica) = TcpStream::connect(next).await {
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut replica).await;
                            return;
                        }
                    }
                });
            }
        });
        Self { address, replicas }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn add(&self, number: usize, webhook: &str) {
        let url: url::Url = webhook.parse().unwrap();
        let address =
            format!("{}:{}", url.host_str().unwrap(), url.port().unwrap()).parse().unwrap();
        self.replicas.lock().unwrap().push((number, address));
    }

    pub fn remove(&self, number: usize) {
        self.replicas.lock().unwrap().retain(|(other, _)| *other != number);
    }
}
