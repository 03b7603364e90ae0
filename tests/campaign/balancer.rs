//! A load balancer in front of the replicas: knows who lives, and hands each connection to the next of them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};

pub struct Balancer {
    address: SocketAddr,
    replicas: Arc<Mutex<Vec<(usize, SocketAddr)>>>,
}

impl Balancer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let replicas = Arc::<Mutex<Vec<(usize, SocketAddr)>>>::default();
        let (living, turn) = (Arc::clone(&replicas), Arc::<AtomicUsize>::default());
        tokio::spawn(async move {
            loop {
                let Ok((mut client, _)) = listener.accept().await else { continue };
                let (living, turn) = (Arc::clone(&living), Arc::clone(&turn));
                tokio::spawn(async move {
                    let all: Vec<SocketAddr> =
                        living.lock().unwrap().iter().map(|(_, address)| *address).collect();
                    // Where nobody answers the client's connection just ends, and Stripe tries again later.
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

    pub fn add(&self, slot: usize, webhook: &str) {
        let url: url::Url = webhook.parse().unwrap();
        let address =
            format!("{}:{}", url.host_str().unwrap(), url.port().unwrap()).parse().unwrap();
        self.replicas.lock().unwrap().push((slot, address));
    }

    pub fn remove(&self, slot: usize) {
        self.replicas.lock().unwrap().retain(|(other, _)| *other != slot);
    }
}
