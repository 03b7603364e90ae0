//! Handing a message over, and knowing afterwards whether it was taken.
//!
//! The session (`smtp`) is driven command by command, because what a failure means depends on how far it came: until the
//! final dot is on its way the relay cannot have taken the message (RFC 5321 section 4.1.1.4), so everything that fails before
//! is known not to be sent; what fails after is unknown. One time limit lies around each half (lettre/lettre#1027).
//!
//! A handing over has two halves, so that the window in which a crash leaves a doubt is as small as SMTP allows:
//! [`Relay::open`] goes as far as the relay's 354 to `DATA`; [`DataPhase::hand_over`] writes the message, the final dot, and waits for
//! the answer. Between the two the caller writes down that it begins. A talk that is dropped there has sent nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::AsyncWriteExt;

use super::send_error::{SendError, Step, refusal};
use super::smtp::{self, Connection, Connector};
use super::{RelayUrl, Timeouts};
use crate::format::text::plain;
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
    connector: Connector,
    timeouts: Timeouts,
    idle: Mutex<Vec<Idle>>,
}

/// A relay that said 354 and waits for the message.
pub struct DataPhase<'a> {
    relay: &'a Relay,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Smtp(&'a Smtp, Box<Connection>),
    File { dir: &'a Path, name: &'a str },
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").field("since", &self.since).finish_non_exhaustive()
    }
}

/// Relays close idle connections, some after half a minute; one that was closed costs a try.
const MAX_IDLE: Duration = Duration::from_secs(15);

impl Relay {
    /// A relay for `url`; connects to nothing yet.
    pub fn new(url: &RelayUrl, timeouts: Timeouts, circuit: Circuit) -> Self {
        let kind = match url {
            RelayUrl::Smtp(server) => {
                let connector = Connector::new(server.clone());
                Kind::Smtp(Box::new(Smtp { connector, timeouts, idle: Mutex::default() }))
            }
            RelayUrl::File(dir) => Kind::File(dir.clone()),
        };
        Self { kind, circuit }
    }

    /// Whether the relay is taken to be down.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Talks to the relay until it waits for the message. `name` tells one handing over from another where messages are kept as
    /// files.
    pub async fn open<'a>(
        &'a self,
        envelope: &Envelope,
        name: &'a str,
    ) -> Result<DataPhase<'a>, SendError> {
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
        Ok(DataPhase { relay: self, stage })
    }

    /// Talks to the relay as far as one can without a letter, and says whom it met.
    pub async fn check(&self) -> Result<String, SendError> {
        match &self.kind {
            Kind::Smtp(smtp) => {
                let limit = smtp.timeouts.command;
                let mut connection = within(limit, smtp.connect()).await?;
                let name = connection.relay_name().to_owned();
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

impl DataPhase<'_> {
    /// Writes the message, and returns the relay's answer to its end.
    pub async fn hand_over(self, bytes: &[u8]) -> Result<String, SendError> {
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
    async fn open(&self, envelope: &Envelope) -> Result<Connection, SendError> {
        let (mut connection, pooled) = match self.take_idle() {
            Some(connection) => (connection, true),
            None => (self.connect().await?, false),
        };
        // The first command shows whether a pooled connection is still alive. Nothing was handed over yet, so a fresh one may
        // begin again.
        let sender = envelope.from().map_or("", AsRef::as_ref);
        match connection.mail(sender).await {
            Ok(()) => {}
            Err(error) if pooled && ended(&error) => {
                connection = self.connect().await?;
                connection.mail(sender).await.map_err(|error| told(Step::Sender, &error))?;
            }
            Err(error) => return Err(told(Step::Sender, &error)),
        }
        for (position, recipient) in envelope.to().iter().enumerate() {
            let step = if position == 0 { Step::Recipient } else { Step::Copy };
            connection.rcpt(recipient.as_ref()).await.map_err(|error| told(step, &error))?;
        }
        connection.data().await.map_err(|error| told(Step::Message, &error))?;
        Ok(connection)
    }

    /// From the first byte of the message to the relay's answer to the final dot.
    async fn hand_over(
        &self,
        mut connection: Connection,
        bytes: &[u8],
    ) -> Result<String, SendError> {
        let limit = self.timeouts.answer;
        let writing = tokio::time::timeout(limit, connection.content(bytes));
        let written = writing.await.map_err(|_| SendError::Unreachable(no_answer_within(limit)))?;
        written.map_err(|error| told(Step::Message, &error))?;
        // From here on only a refusal says that the relay does not have the message.
        // It has the whole limit for its answer, however slowly it took the message: an answer that is not
        // waited for is a letter in doubt (RFC 5321 section 4.5.3.2.6).
        match tokio::time::timeout(limit, connection.end_of_message()).await {
            Ok(Ok(reply)) => {
                if connection.is_in_sync() {
                    self.keep_idle(connection);
                }
                Ok(one_line(&reply.to_string()))
            }
            Ok(Err(error @ smtp::Error::Refused(_))) => Err(told(Step::Message, &error)),
            // A reply that is neither an acceptance nor a refusal answers nothing: 3xx, for one, where the relay and we no longer
            // speak of the same command. The message may have been taken.
            Ok(Err(error)) => Err(SendError::Unknown(describe(&error))),
            Err(_) => Err(SendError::Unknown(no_answer_within(limit))),
        }
    }

    async fn connect(&self) -> Result<Connection, SendError> {
        self.connector.connect().await.map_err(|error| told(Step::Greeting, &error))
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|entry| entry.since.elapsed() < MAX_IDLE);
        idle.pop().map(|entry| entry.connection)
    }

    /// As many as there are letters at once: the queue's concurrency is the limit of the pool.
    fn keep_idle(&self, connection: Connection) {
        self.idle().push(Idle { connection, since: Instant::now() });
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock()
    }
}

/// What an error at a step says: the relay's refusal where it has a code, else that the line is gone.
fn told(step: Step, error: &smtp::Error) -> SendError {
    if let smtp::Error::Refused(reply) = error {
        refusal(step, reply.code(), describe(error))
    } else {
        SendError::Unreachable(describe(error))
    }
}

/// The relay hung up, or said 421 before it does.
fn ended(error: &smtp::Error) -> bool {
    if let smtp::Error::Refused(reply) = error { reply.code() == 421 } else { true }
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

fn describe(error: &smtp::Error) -> String {
    one_line(&error.to_string())
}

/// A relay's words go into the database, the log and a page: no control characters, nothing invisible, and not without end.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 500;
    plain(text).chars().take(LONGEST).collect()
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
