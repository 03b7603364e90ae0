//! Handing a message over, and knowing afterwards whether it was taken.
//!
//! lettre's connection is driven command by command rather than through its transport, for two reasons: the transport
//! cannot say how far a failed sending had come, and it does not honour its own time limit once it is connected
//! (lettre/lettre#1027). Until the final dot is on its way the relay cannot have taken the message (RFC 5321 section 4.1.1.4),
//! so everything that fails before is known not to be sent; what fails after is unknown.
//!
//! A handing over has two halves, so that the window in which a crash leaves a doubt is as small as SMTP allows:
//! [`Relay::open`] goes as far as the relay's 354 to `DATA`; [`Talk::hand_over`] writes the message, the final dot, and waits for
//! the answer. Between the two the caller writes down that it begins. A talk that is dropped there has sent nothing.

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

use super::refusal::{SendError, Step, refusal};
use super::relay_url::{Server, Tls};
use super::{RelayUrl, Timeouts};
use crate::queue::Circuit;

/// Takes messages.
#[derive(Debug)]
pub struct Relay {
    kind: Kind,
    circuit: Circuit,
}

#[derive(Debug)]
enum Kind {
    Smtp(Box<Smtp>),
    File(PathBuf),
}

/// An SMTP server and the connections that are open to it.
#[derive(Debug)]
struct Smtp {
    server: Server,
    timeouts: Timeouts,
    idle: Mutex<Vec<Idle>>,
}

/// A relay that said 354 and waits for the message.
pub(super) struct Talk<'a> {
    relay: &'a Relay,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Smtp(&'a Smtp, Box<AsyncSmtpConnection>),
    File { dir: &'a Path, name: &'a str },
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
    /// A relay for `url`; connects to nothing yet.
    pub fn new(url: &RelayUrl, timeouts: Timeouts, circuit: Circuit) -> Self {
        let kind = match url {
            RelayUrl::Smtp(server) => {
                Kind::Smtp(Box::new(Smtp { server: server.clone(), timeouts, idle: Mutex::default() }))
            }
            RelayUrl::File(dir) => Kind::File(dir.clone()),
        };
        Self { kind, circuit }
    }

    /// Whether the relay is taken to be down.
    pub(super) fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Talks to the relay until it waits for the message. `name` tells one handing over from another where messages are kept as
    /// files.
    pub(super) async fn open<'a>(
        &'a self,
        envelope: &Envelope,
        name: &'a str,
    ) -> Result<Talk<'a>, SendError> {
        let stage = match &self.kind {
            Kind::Smtp(smtp) => {
                let opened = within(smtp.timeouts.command, smtp.open(envelope)).await;
                Stage::Smtp(smtp, Box::new(opened.map_err(|error| self.heard(error))?))
            }
            Kind::File(dir) => {
                let made = tokio::fs::create_dir_all(dir).await;
                made.map_err(|error| self.heard(unwritable(dir, &error)))?;
                Stage::File { dir, name }
            }
        };
        Ok(Talk { relay: self, stage })
    }

    /// Talks to the relay as far as one can without a letter, and says whom it met.
    pub async fn check(&self) -> Result<String, SendError> {
        match &self.kind {
            Kind::Smtp(smtp) => {
                let limit = smtp.timeouts.command;
                let mut connection = within(limit, smtp.connect()).await?;
                let name = connection.server_info().name().to_owned();
                let quitting =
                    async { connection.quit().await.map_err(|error| told(Step::Greeting, &error)) };
                let _ = within(limit, quitting).await;
                Ok(name)
            }
            Kind::File(dir) => tokio::fs::create_dir_all(dir)
                .await
                .map(|()| dir.display().to_string())
                .map_err(|error| unwritable(dir, &error)),
        }
    }

    /// Remembers what an error says about the relay itself. That it wants a message says nothing yet: only its answer to one does.
    fn heard(&self, error: SendError) -> SendError {
        match &error {
            SendError::Deferred(_) | SendError::AddressRefused(_) | SendError::LetterRefused(_) => {
                self.circuit.succeeded();
            }
            // One domain that takes no more has its lane closed; where all of them say so it is the relay that does.
            SendError::Unreachable(_) | SendError::Unknown(_) | SendError::TooFast(_) => {
                self.circuit.failed();
            }
            SendError::NotServed(_) => self.circuit.failed_for_all(),
        }
        error
    }
}

impl Talk<'_> {
    /// Writes the message, and returns the relay's answer to its end.
    pub(super) async fn hand_over(self, bytes: &[u8]) -> Result<String, SendError> {
        let outcome = match self.stage {
            Stage::Smtp(smtp, connection) => smtp.hand_over(*connection, bytes).await,
            Stage::File { dir, name } => {
                keep_file(dir, name, bytes).await.map_err(|error| unwritable(dir, &error))
            }
        };
        match outcome {
            Ok(answer) => {
                self.relay.circuit.succeeded();
                Ok(answer)
            }
            Err(error) => Err(self.relay.heard(error)),
        }
    }
}

impl Smtp {
    async fn open(&self, envelope: &Envelope) -> Result<AsyncSmtpConnection, SendError> {
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
                connection.command(&mail).await.map_err(|error| told(Step::Sender, &error))?;
            }
            Err(error) => return Err(told(Step::Sender, &error)),
        }
        for (position, recipient) in envelope.to().iter().enumerate() {
            let step = if position == 0 { Step::Recipient } else { Step::Copy };
            let answer = connection.command(Rcpt::new(recipient.clone(), vec![])).await;
            answer.map_err(|error| told(step, &error))?;
        }
        connection.command(Data).await.map_err(|error| told(Step::Message, &error))?;
        Ok(connection)
    }

    /// From the first byte of the message to the relay's answer to the final dot.
    async fn hand_over(
        &self,
        mut connection: AsyncSmtpConnection,
        bytes: &[u8],
    ) -> Result<String, SendError> {
        let dot_on_its_way = AtomicBool::new(false);
        // lettre asks for the next piece when the last one is written, and writes the final dot when there is none.
        let pieces = bytes.chunks(PIECE_BYTES).map(Some).chain(std::iter::once(None)).map_while(|piece| {
            if piece.is_none() {
                dot_on_its_way.store(true, Ordering::SeqCst);
            }
            piece
        });
        let answered = tokio::time::timeout(self.timeouts.answer, connection.message_iter(pieces)).await;
        let in_doubt = |text| {
            if dot_on_its_way.load(Ordering::SeqCst) {
                SendError::Unknown(text)
            } else {
                SendError::Unreachable(text)
            }
        };
        match answered {
            Ok(Ok(response)) => {
                self.keep_idle(connection);
                Ok(said(&response))
            }
            // With a code there is an answer, and so no doubt.
            Ok(Err(error)) if error.status().is_some() => Err(told(Step::Message, &error)),
            Ok(Err(error)) => Err(in_doubt(describe(&error))),
            Err(_) => Err(in_doubt(no_answer_within(self.timeouts.answer))),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let server = &self.server;
        let hello = ClientId::default();
        let parameters = || TlsParameters::new(server.host.clone());
        let refused = |error: smtp::Error| told(Step::Greeting, &error);
        let implicit = (server.tls == Tls::Implicit).then(parameters).transpose().map_err(refused)?;
        let address = (server.host.as_str(), server.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeouts.command), &hello, implicit, None)
                .await
                .map_err(refused)?;
        if server.tls == Tls::Required || (server.tls == Tls::Opportunistic && connection.can_starttls()) {
            connection.starttls(parameters().map_err(refused)?, &hello).await.map_err(refused)?;
        }
        if let Some((user, password)) = &server.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(refused)?;
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

/// What an error at a step says: the relay's refusal where it has a code, else that the line is gone.
fn told(step: Step, error: &smtp::Error) -> SendError {
    let text = describe(error);
    match error.status() {
        Some(code) => refusal(step, u16::from(code), text),
        None => SendError::Unreachable(text),
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
    let late = || SendError::Unreachable(no_answer_within(limit));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

fn no_answer_within(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}

fn unwritable(dir: &Path, error: &std::io::Error) -> SendError {
    SendError::Unreachable(format!("{}: {error}", dir.display()))
}

/// lettre's message says what caused it already, but for errors of the connection.
fn describe(error: &smtp::Error) -> String {
    let text = error.to_string();
    let cause = std::error::Error::source(error).map(crate::telemetry::chain).unwrap_or_default();
    one_line(&if text.contains(&cause) { text } else { format!("{text}: {cause}") })
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
