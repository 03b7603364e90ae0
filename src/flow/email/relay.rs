//! Handing a message over, and knowing afterwards whether it was taken.
//!
//! lettre's connection is driven command by command rather than through its transport, for two reasons: the transport
//! cannot say how far a failed sending had come, and it does not honour its own time limit once it is connected
//! (lettre/lettre#1027). Until the final dot is on its way the relay cannot have taken the message (RFC 5321 section 4.1.1.4),
//! so everything that fails before is known not to be sent; what fails after is unknown.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt;

use super::RelayUrl;
use super::relay_url::{Server, Tls};
use crate::queue::{Next, Retryable};

/// Takes messages.
#[derive(Debug)]
pub struct Relay(Kind);

#[derive(Debug)]
enum Kind {
    Smtp(Box<Smtp>),
    File(PathBuf),
}

/// Why a message was not, or perhaps not, taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No talk came about, or it ended before the message was handed over. Not sent.
    #[error("cannot reach the relay: {0}")]
    Unreachable(String),
    /// A 4xx: not now. Not sent.
    #[error("the relay said later: {0}")]
    Deferred(String),
    /// A 5xx to the recipient's address. Not sent, and will not be.
    #[error("the relay refused the address: {0}")]
    AddressRefused(String),
    /// Another 5xx. Not sent, and will not be.
    #[error("the relay refused the letter: {0}")]
    LetterRefused(String),
    /// The final dot was on its way when the talk ended: the relay may have taken the message.
    #[error("the relay gave no answer after it had the letter: {0}")]
    Unknown(String),
}

impl Retryable for SendError {
    fn next(&self) -> Next {
        match self {
            Self::Unreachable(_) | Self::Deferred(_) => Next::TryAgain,
            // Whether an unknown outcome is tried again is the operator's policy, not the error's.
            Self::AddressRefused(_) | Self::LetterRefused(_) | Self::Unknown(_) => Next::GiveUp,
        }
    }
}

/// An SMTP server and the connections that are open to it.
#[derive(Debug)]
struct Smtp {
    server: Server,
    timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").field("since", &self.since).finish_non_exhaustive()
    }
}

/// Relays close idle connections, some after half a minute; one that was closed costs a try.
const LONGEST_IDLE: Duration = Duration::from_secs(15);
/// The pieces in which a message is written: whole messages are some 30 KB.
const PIECE_BYTES: usize = 16 * 1024;

impl Relay {
    /// A relay for `url`; connects to nothing yet. `timeout` is for a whole handing over.
    pub fn new(url: &RelayUrl, timeout: Duration) -> Self {
        Self(match url {
            RelayUrl::Smtp(server) => {
                Kind::Smtp(Box::new(Smtp { server: server.clone(), timeout, idle: Mutex::default() }))
            }
            RelayUrl::File(dir) => Kind::File(dir.clone()),
        })
    }

    /// Hands a message over and returns the relay's answer. `name` tells one handing over from another where messages are
    /// kept as files.
    pub(super) async fn send(
        &self,
        envelope: &Envelope,
        bytes: &[u8],
        name: &str,
    ) -> Result<String, SendError> {
        match &self.0 {
            Kind::Smtp(smtp) => smtp.send(envelope, bytes).await,
            Kind::File(dir) => keep_file(dir, name, bytes)
                .await
                .map_err(|error| SendError::Unreachable(format!("{}: {error}", dir.display()))),
        }
    }

    /// Talks to the relay as far as one can without a letter, and says whom it met.
    pub async fn check(&self) -> Result<String, SendError> {
        match &self.0 {
            Kind::Smtp(smtp) => {
                let mut connection = within(smtp.timeout, smtp.connect()).await?;
                let name = connection.server_info().name().to_owned();
                let _ = within(smtp.timeout, async { connection.quit().await.map_err(before_handing_over) })
                    .await;
                Ok(name)
            }
            Kind::File(dir) => tokio::fs::create_dir_all(dir)
                .await
                .map(|()| dir.display().to_string())
                .map_err(|error| SendError::Unreachable(error.to_string())),
        }
    }
}

impl Smtp {
    async fn send(&self, envelope: &Envelope, bytes: &[u8]) -> Result<String, SendError> {
        let handed_over = AtomicBool::new(false);
        let sending = tokio::time::timeout(self.timeout, self.send_untimed(envelope, bytes, &handed_over));
        sending.await.unwrap_or_else(|_| {
            let text = format!("no answer within {} s", self.timeout.as_secs());
            Err(if handed_over.load(Ordering::SeqCst) {
                SendError::Unknown(text)
            } else {
                SendError::Unreachable(text)
            })
        })
    }

    async fn send_untimed(
        &self,
        envelope: &Envelope,
        bytes: &[u8],
        handed_over: &AtomicBool,
    ) -> Result<String, SendError> {
        let (mut connection, pooled) = match self.take_idle() {
            Some(connection) => (connection, true),
            None => (self.connect().await?, false),
        };
        // The first command shows whether a pooled connection is still alive. Nothing was handed over yet, so a fresh one may
        // begin again.
        let mail = Mail::new(envelope.from().cloned(), vec![]);
        match connection.command(&mail).await {
            Ok(_) => {}
            Err(error) if pooled && ended(&error) => {
                connection = self.connect().await?;
                connection.command(&mail).await.map_err(before_handing_over)?;
            }
            Err(error) => return Err(before_handing_over(error)),
        }
        let answer = hand_over(&mut connection, envelope, bytes, handed_over).await?;
        self.keep_idle(connection);
        Ok(answer)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let server = &self.server;
        let hello = ClientId::default();
        let parameters = || TlsParameters::new(server.host.clone());
        let unreachable = |error: smtp::Error| SendError::Unreachable(describe(&error));
        let implicit = (server.tls == Tls::Implicit).then(parameters).transpose().map_err(unreachable)?;
        let address = (server.host.as_str(), server.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &hello, implicit, None)
                .await
                .map_err(unreachable)?;
        if server.tls == Tls::Required || (server.tls == Tls::Opportunistic && connection.can_starttls()) {
            connection.starttls(parameters().map_err(unreachable)?, &hello).await.map_err(unreachable)?;
        }
        if let Some((user, password)) = &server.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
                .await
                .map_err(unreachable)?;
        }
        Ok(connection)
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle();
        idle.retain(|entry| entry.since.elapsed() < LONGEST_IDLE);
        idle.pop().map(|entry| entry.connection)
    }

    /// As many as there are letters at once: the queue's concurrency is the limit of the pool.
    fn keep_idle(&self, connection: AsyncSmtpConnection) {
        self.idle().push(Idle { connection, since: Instant::now() });
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // A list of connections is whole at any time, whoever panicked.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// From the recipients to the relay's answer to the final dot.
async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    bytes: &[u8],
    handed_over: &AtomicBool,
) -> Result<String, SendError> {
    for (position, recipient) in envelope.to().iter().enumerate() {
        let answer = connection.command(Rcpt::new(recipient.clone(), vec![])).await;
        answer.map_err(|error| {
            // The recipient is the first; a refused copy is no fault of the merchant's address.
            if position == 0 && error.is_permanent() {
                SendError::AddressRefused(describe(&error))
            } else {
                before_handing_over(error)
            }
        })?;
    }
    connection.command(Data).await.map_err(before_handing_over)?;
    // lettre asks for the next piece when the last one is written, and writes the final dot when there is none.
    let pieces = bytes.chunks(PIECE_BYTES).map(Some).chain(std::iter::once(None)).map_while(|piece| {
        if piece.is_none() {
            handed_over.store(true, Ordering::SeqCst);
        }
        piece
    });
    match connection.message_iter(pieces).await {
        Ok(response) => Ok(said(&response)),
        // With a code there is an answer, and so no doubt.
        Err(error) if error.status().is_some() || !handed_over.load(Ordering::SeqCst) => {
            Err(before_handing_over(error))
        }
        Err(error) => Err(SendError::Unknown(describe(&error))),
    }
}

/// An error at a point where the message is known not to have been taken.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn before_handing_over(error: smtp::Error) -> SendError {
    let text = describe(&error);
    if error.is_permanent() {
        SendError::LetterRefused(text)
    } else if error.is_transient() {
        SendError::Deferred(text)
    } else {
        SendError::Unreachable(text)
    }
}

/// The relay hung up, or said 421 before it does.
fn ended(error: &smtp::Error) -> bool {
    error.status().is_none_or(|code| u16::from(code) == 421)
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    let late = || SendError::Unreachable(format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

fn describe(error: &smtp::Error) -> String {
    one_line(&crate::queue::chain(error))
}

fn said(response: &Response) -> String {
    let text: Vec<&str> = response.message().collect();
    one_line(&format!("{} {}", response.code(), text.join(" ")))
}

/// A relay's words go into the database, the log and a page: no control characters, and not without end.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 500;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

/// Writes `DIR/<name>.eml` so that it is either whole or not there.
async fn keep_file(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<String> {
    tokio::fs::create_dir_all(dir).await?;
    let path = dir.join(format!("{name}.eml"));
    let partial = dir.join(format!(".{name}.partial"));
    let mut file = tokio::fs::File::create(&partial).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    tokio::fs::rename(&partial, &path).await?;
    Ok(format!("250 kept as {}", path.display()))
}
