//! An HTTPS server for one name, with fixed responses by path. It records the requested paths.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

#[derive(Default)]
struct Shared {
    /// Status and body by path; other paths are 404.
    answers: HashMap<String, (u16, Vec<u8>)>,
    asked: Vec<String>,
    /// Requests without a response yet, and the maximum of that number.
    open: usize,
    most_open: usize,
    stalls: bool,
}

/// The server, and a client that resolves its name and trusts its certificate.
pub struct Https {
    pub client: reqwest::Client,
    shared: Arc<Mutex<Shared>>,
}

impl Https {
    pub async fn start(name: &str) -> Self {
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let shared = Arc::<Mutex<Shared>>::default();
        let (acceptor, for_connections) =
            (TlsAcceptor::from(Arc::new(config)), Arc::clone(&shared));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&for_connections));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let (status, body, stalls) = {
                        let mut shared = shared.lock().unwrap();
                        shared.asked.push(path.clone());
                        shared.open += 1;
                        shared.most_open = shared.most_open.max(shared.open);
                        let (status, body) =
                            shared.answers.get(&path).cloned().unwrap_or((404, Vec::new()));
                        (status, body, shared.stalls)
                    };
                    if stalls {
                        // Returns when the client gives up.
                        let _ = stream.read_u8().await;
                    }
                    shared.lock().unwrap().open -= 1;
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\
                         Connection: close\r\n\r\n"
                    );
                    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        let trusted = reqwest::Certificate::from_der(made.cert.der()).unwrap();
        let client = reqwest::Client::builder()
            .resolve(name, address)
            .tls_certs_only([trusted])
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(1))
            .build()
            .unwrap();
        Self { client, shared }
    }

    pub fn answers(&self, path: &str, status: u16, body: &[u8]) {
        self.shared.lock().unwrap().answers.insert(path.to_owned(), (status, body.to_vec()));
    }

    /// Leaves all later requests without a response.
    pub fn stalls(&self) {
        self.shared.lock().unwrap().stalls = true;
    }

    /// The maximum number of requests that were open at the same time.
    pub fn most_at_once(&self) -> usize {
        self.shared.lock().unwrap().most_open
    }

    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.clone()
    }
}
