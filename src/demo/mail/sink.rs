//! The demo's mail server: accepts every message on a loopback port and keeps it in a folder.
//!
//! Faults are switched while it runs: down, every address unknown, and an address whose mail is
//! accepted and then returned.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::bounce;
use super::folder::{MailFolder, MailSummary};
use super::session::{MailEnvelope, ServerSession};

/// The running server. Dropping it closes the port and all sessions.
#[derive(Debug)]
pub struct Sink {
    inbox: Arc<Inbox>,
    address: SocketAddr,
    /// One task, which ends when this is dropped.
    _listening: JoinSet<()>,
}

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Inbox {
    folder: MailFolder,
    down: watch::Sender<bool>,
    is_bouncing: AtomicBool,
    /// In lower case.
    returned: Mutex<HashSet<String>>,
    received: broadcast::Sender<MailSummary>,
    bounces: broadcast::Sender<Bytes>,
    refusals: broadcast::Sender<String>,
}

const MAX_SESSIONS: usize = 64;
/// Notifications that a slow subscriber may lag behind.
const MAX_LAG: usize = 256;
/// After an error such as "too many open files", which the next attempt would meet again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Sink {
    /// Listens on a free port of 127.0.0.1. `dir` is created; its messages of an earlier run stay.
    /// Must be called within a Tokio runtime.
    pub fn start(dir: PathBuf) -> io::Result<Self> {
        let folder = MailFolder::create(dir)?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let inbox = Arc::new(Inbox {
            folder,
            down: watch::Sender::new(false),
            is_bouncing: AtomicBool::new(false),
            returned: Mutex::default(),
            received: broadcast::Sender::new(MAX_LAG),
            bounces: broadcast::Sender::new(MAX_LAG),
            refusals: broadcast::Sender::new(MAX_LAG),
        });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, Arc::clone(&inbox)));
        Ok(Self { inbox, address, _listening: listening })
    }

    /// As `SMTP_URL` takes it.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    pub fn folder(&self) -> &MailFolder {
        &self.inbox.folder
    }

    /// While down, the server answers 421 to connections, and to sessions between two messages, and
    /// closes them. It keeps its port, so that no other program can take it.
    pub fn set_down(&self, is_down: bool) {
        self.inbox.down.send_replace(is_down);
    }

    pub fn is_down(&self) -> bool {
        *self.inbox.down.borrow()
    }

    /// While bouncing, the server refuses every recipient with `550 5.1.1`.
    pub fn set_bouncing(&self, is_bouncing: bool) {
        self.inbox.is_bouncing.store(is_bouncing, Ordering::Relaxed);
    }

    pub fn is_bouncing(&self) -> bool {
        self.inbox.is_bouncing()
    }

    /// From now on accepts mail to this address and then returns it: see [`Sink::bounces`].
    pub fn bounce_later(&self, address: &str) {
        self.inbox.returned.lock().insert(address.to_ascii_lowercase());
    }

    /// Each message accepted from now on, once it is on disk.
    pub fn subscribe(&self) -> broadcast::Receiver<MailSummary> {
        self.inbox.received.subscribe()
    }

    /// What was refused from now on, in words.
    pub fn refusals(&self) -> broadcast::Receiver<String> {
        self.inbox.refusals.subscribe()
    }

    /// The delivery status notifications (RFC 3464) about returned mail, for `/inbound/bounces`.
    pub fn bounces(&self) -> broadcast::Receiver<Bytes> {
        self.inbox.bounces.subscribe()
    }
}

async fn listen(listener: TcpListener, inbox: Arc<Inbox>) {
    // Owns the sessions: they end with this task.
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        while sessions.len() >= MAX_SESSIONS {
            sessions.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let session = ServerSession::new(stream, Arc::clone(&inbox));
                sessions.spawn(session.run());
            }
            Err(error) => {
                tracing::warn!(%error, "the demo's mail server cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Inbox {
    pub(super) fn down(&self) -> watch::Receiver<bool> {
        self.down.subscribe()
    }

    pub(super) fn report_refusal(&self, text: String) {
        // Fails without a subscriber.
        let _ = self.refusals.send(text);
    }

    pub(super) fn is_bouncing(&self) -> bool {
        self.is_bouncing.load(Ordering::Relaxed)
    }

    /// Stores a message and notifies the subscribers. Returns its id.
    pub(super) async fn accept(
        &self,
        envelope: &MailEnvelope,
        message: &[u8],
    ) -> io::Result<String> {
        let summary = self.folder.store(envelope, message).await?;
        let id = summary.id.clone();
        // Fails without a subscriber.
        let _ = self.received.send(summary);
        for recipient in &envelope.to {
            if self.returned.lock().contains(&recipient.to_ascii_lowercase()) {
                let report = bounce::notification(&id, envelope, recipient, message);
                let _ = self.bounces.send(report.into());
            }
        }
        Ok(id)
    }
}
