//! Delivers messages to the relay and reports whether it accepted them.
//!
//! The session (`smtp`) is driven command by command, because the meaning of a failure depends on
//! how far it got. Before the final dot is written the relay cannot have accepted the message (RFC
//! 5321 section 4.1.1.4), so an earlier failure means "not sent"; a later one is unknown. Each half
//! has its own time limit (lettre/lettre#1027).
//!
//! Delivery has two halves, so that the window in which a crash leaves the outcome unknown is as
//! small as SMTP allows. [`Relay::open`] runs up to the relay's 354 reply to `DATA`.
//! [`DataPhase::hand_over`] writes the message and the final dot and waits for the reply. Between
//! the two, the caller commits that the attempt has begun. A session that is dropped there has sent
//! nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;

use super::metrics::RelayMetrics;
use super::send_error::{SendError, Step, classify_refusal};
use super::smtp::{Connection, Connector, MessageCommand, SmtpError};
use super::{RelaySettings, RelayUrl, Timeouts};
use crate::format::text::plain;
use crate::queue::Circuit;
use crate::telemetry::traces::Span;

pub struct Relay {
    transport: Transport,
    circuit: Circuit,
    metrics: RelayMetrics,
}

enum Transport {
    Smtp(Box<SmtpPool>),
    File(PathBuf),
}

struct SmtpPool {
    connector: Connector,
    timeouts: Timeouts,
    metrics: RelayMetrics,
    idle: Mutex<Vec<IdleConnection>>,
}

/// A relay that replied 354 and waits for the message.
pub struct DataPhase<'a> {
    relay: &'a Relay,
    target: DataTarget<'a>,
    started: Instant,
}

enum DataTarget<'a> {
    Smtp(&'a SmtpPool, Box<Connection>),
    File { dir: &'a Path, name: &'a str },
}

struct IdleConnection {
    connection: Connection,
    since: Instant,
}

/// Relays close idle connections, some after 30 s. Using one that was closed costs a reconnect.
const MAX_IDLE: Duration = Duration::from_secs(15);

impl Relay {
    /// Does not connect yet.
    pub fn new(settings: &RelaySettings, circuit: Circuit) -> Self {
        let (timeouts, metrics) = (settings.timeouts, RelayMetrics::default());
        let transport = match &settings.url {
            RelayUrl::Smtp(server) => {
                let connector = Connector::new(server.clone());
                let (metrics, idle) = (metrics.clone(), Mutex::default());
                Transport::Smtp(Box::new(SmtpPool { connector, timeouts, metrics, idle }))
            }
            RelayUrl::File(dir) => Transport::File(dir.clone()),
        };
        Self { transport, circuit, metrics }
    }

    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    pub fn metrics(&self) -> &RelayMetrics {
        &self.metrics
    }

    /// Runs the session up to the 354 reply. `name` is the file name if the relay is a folder, so
    /// it must be unique per attempt.
    pub async fn open<'a>(
        &'a self,
        envelope: &Envelope,
        name: &'a str,
    ) -> Result<DataPhase<'a>, SendError> {
        let started = Instant::now();
        let failed = |error| self.record_error(error, started);
        let target = match &self.transport {
            Transport::Smtp(smtp) => {
                let opening = within(smtp.timeouts.command, smtp.open(envelope));
                let opened = smtp.span("open").try_run(opening, |error| error.into()).await;
                DataTarget::Smtp(smtp, Box::new(opened.map_err(failed)?))
            }
            Transport::File(dir) => {
                let created = tokio::fs::create_dir_all(dir).await;
                created.map_err(|error| failed(unwritable(dir, &error)))?;
                DataTarget::File { dir, name }
            }
        };
        Ok(DataPhase { relay: self, target, started })
    }

    /// Connects, logs in and quits. Returns the relay's name.
    pub async fn check(&self) -> Result<String, SendError> {
        match &self.transport {
            Transport::Smtp(smtp) => {
                let limit = smtp.timeouts.command;
                let mut connection = within(limit, smtp.connect()).await?;
                let name = connection.relay_name().to_owned();
                // The relay has proven itself, so the reply to QUIT does not matter.
                let _ = tokio::time::timeout(limit, connection.quit()).await;
                Ok(name)
            }
            Transport::File(dir) => tokio::fs::create_dir_all(dir)
                .await
                .map(|()| dir.display().to_string())
                .map_err(|error| unwritable(dir, &error)),
        }
    }

    /// Counts the error and updates the circuit with what an error says about the relay itself. A 354 reply alone does
    /// not close the circuit: only the reply to a message does.
    fn record_error(&self, error: SendError, started: Instant) -> SendError {
        self.metrics.message_ended(Some(&error), started.elapsed());
        match &error {
            SendError::Deferred(_) | SendError::AddressRefused(_) | SendError::LetterRefused(_) => {
                self.circuit.succeeded();
            }
            // One throttled domain is paused by `per_domain`; if all domains report a rate limit,
            // the relay itself is throttling.
            SendError::Unreachable(_) | SendError::Unknown(_) | SendError::Throttled(_) => {
                self.circuit.failed();
            }
            SendError::RelayRefused(_) => self.circuit.failed_for_all(),
        }
        error
    }
}

impl DataPhase<'_> {
    /// Writes the message and returns the relay's reply to the final dot.
    pub async fn hand_over(self, bytes: &[u8]) -> Result<String, SendError> {
        let outcome = match self.target {
            DataTarget::Smtp(smtp, connection) => {
                let sending = smtp.hand_over(*connection, bytes);
                smtp.span("send").try_run(sending, |error| error.into()).await
            }
            DataTarget::File { dir, name } => {
                write_file(dir, name, bytes).await.map_err(|error| unwritable(dir, &error))
            }
        };
        match outcome {
            Ok(answer) => {
                self.relay.circuit.succeeded();
                self.relay.metrics.message_ended(None, self.started.elapsed());
                Ok(answer)
            }
            Err(error) => Err(self.relay.record_error(error, self.started)),
        }
    }
}

impl SmtpPool {
    fn span(&self, operation: &'static str) -> Span {
        let server = self.connector.server();
        Span::call("smtp", operation)
            .text("network.protocol.name", "smtp")
            .text("server.address", &server.host)
            .number("server.port", server.port)
    }

    async fn open(&self, envelope: &Envelope) -> Result<Connection, SendError> {
        let (mut connection, pooled) = match self.take_idle() {
            Some(connection) => (connection, true),
            None => (self.connect().await?, false),
        };
        let sender = envelope.from().map_or("", AsRef::as_ref);
        let recipients: Vec<&str> = envelope.to().iter().map(AsRef::as_ref).collect();
        let started = match connection.start_message(sender, &recipients).await {
            // MAIL is the first use of a pooled connection and shows whether it is still alive.
            // Nothing has been sent yet, so a new connection may start over.
            Err((MessageCommand::Mail, error)) if pooled && has_ended(&error) => {
                connection = self.connect().await?;
                connection.start_message(sender, &recipients).await
            }
            started => started,
        };
        started.map_err(|(command, error)| classify(step_of(command), &error))?;
        Ok(connection)
    }

    /// From the first byte of the content to the reply to the final dot.
    async fn hand_over(
        &self,
        mut connection: Connection,
        bytes: &[u8],
    ) -> Result<String, SendError> {
        let limit = self.timeouts.answer;
        let writing = tokio::time::timeout(limit, connection.content(bytes));
        let written = writing.await.map_err(|_| SendError::Unreachable(no_answer_within(limit)))?;
        written.map_err(|error| classify(Step::Message, &error))?;
        // From here on only a refusal proves that the relay does not have the message. The reply
        // gets the whole limit again, however slowly the content was written: giving up on the
        // reply leaves the letter in doubt (RFC 5321 section 4.5.3.2.6).
        match tokio::time::timeout(limit, connection.end_of_message()).await {
            Ok(Ok(reply)) => {
                // Leftover input would be read as the reply to the next letter's first command.
                if connection.is_in_sync() {
                    self.return_idle(connection);
                }
                Ok(printable_line(&reply.to_string()))
            }
            Ok(Err(error @ SmtpError::Refused(_))) => Err(classify(Step::Message, &error)),
            // A reply that is neither acceptance nor refusal, such as 3xx, may belong to another
            // command. The relay may have accepted the message.
            Ok(Err(error)) => Err(SendError::Unknown(describe(&error))),
            Err(_) => Err(SendError::Unknown(no_answer_within(limit))),
        }
    }

    async fn connect(&self) -> Result<Connection, SendError> {
        let started = Instant::now();
        let connected = self.connector.connect().await;
        let connected = connected.map_err(|error| classify(Step::Greeting, &error));
        self.metrics.connected(connected.as_ref().err(), started.elapsed());
        connected
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        idle.retain(|entry| entry.since.elapsed() < MAX_IDLE);
        idle.pop().map(|entry| entry.connection)
    }

    /// The pool is bounded by the queue's concurrency.
    fn return_idle(&self, connection: Connection) {
        self.idle.lock().push(IdleConnection { connection, since: Instant::now() });
    }
}

/// The first recipient is the merchant, the second gets the blind copy.
fn step_of(command: MessageCommand) -> Step {
    match command {
        MessageCommand::Mail => Step::Sender,
        MessageCommand::Rcpt(0) => Step::Recipient,
        MessageCommand::Rcpt(_) => Step::Copy,
        MessageCommand::Data => Step::Message,
    }
}

/// Classifies an error: a refusal by its code, anything else as a lost connection.
fn classify(step: Step, error: &SmtpError) -> SendError {
    if let SmtpError::Refused(reply) = error {
        classify_refusal(step, reply.code(), describe(error))
    } else {
        SendError::Unreachable(describe(error))
    }
}

/// Whether the relay closed the connection, or announced it with 421.
fn has_ended(error: &SmtpError) -> bool {
    if let SmtpError::Refused(reply) = error { reply.code() == 421 } else { true }
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

fn describe(error: &SmtpError) -> String {
    printable_line(&error.to_string())
}

/// Replies go to the database, the log and a web page: no control or invisible characters, and
/// bounded.
fn printable_line(text: &str) -> String {
    const MAX_CHARS: usize = 500;
    plain(text).chars().take(MAX_CHARS).collect()
}

/// Writes `DIR/<name>.eml` atomically.
async fn write_file(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<String> {
    tokio::fs::create_dir_all(dir).await?;
    let path = dir.join(format!("{name}.eml"));
    let partial = dir.join(format!(".{name}.partial"));
    let mut file = tokio::fs::File::create(&partial).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    // A crash before the rename leaves only a hidden partial file.
    tokio::fs::rename(&partial, &path).await?;
    Ok(format!("250 stored as {}", path.display()))
}
