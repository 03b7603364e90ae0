//! One SMTP session (RFC 5321), with PIPELINING, 8BITMIME and SIZE. Lines, messages, recipients and
//! waiting are bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::{Error, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::sink::Inbox;

/// A letter has about 50 KB.
pub(super) const MAX_MESSAGE: usize = 10 * 1024 * 1024;
const MAX_LINE: usize = 4_096;
/// RFC 5321 section 4.5.3.1.8.
const MAX_RECIPIENTS: usize = 100;
/// RFC 5321 section 4.5.3.2.7.
const MAX_IDLE: Duration = Duration::from_mins(5);
const MAX_LINGER: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 16 * 1024;

const UNAVAILABLE: &str = "421 4.3.2 this mail server is switched off";
const UNKNOWN_ADDRESS: &str = "550 5.1.1 no such address here";
const TOO_LARGE: &str = "552 5.3.4 the message is too large";

/// Sender and recipients of a message, as the commands named them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MailEnvelope {
    /// Empty for the null reverse-path.
    pub(super) from: String,
    pub(super) to: Vec<String>,
}

pub(super) struct ServerSession {
    stream: TcpStream,
    inbox: Arc<Inbox>,
    /// Received and not yet parsed.
    input: Vec<u8>,
    /// Of the transaction that MAIL began.
    envelope: Option<MailEnvelope>,
}

enum Step {
    Continue,
    Close,
}

fn is_http(line: &[u8]) -> bool {
    line.trim_ascii_end().ends_with(b" HTTP/1.1") || line.trim_ascii_end().ends_with(b" HTTP/1.0")
}

impl ServerSession {
    pub(super) fn new(stream: TcpStream, inbox: Arc<Inbox>) -> Self {
        Self { stream, inbox, input: Vec::new(), envelope: None }
    }

    /// Runs until the client quits, the connection ends or the server is switched off. A message
    /// whose content is being received is still accepted when the server is switched off.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut down = self.inbox.down();
        if *down.borrow() {
            self.inbox.report_refusal("the mail server is down: connection refused".to_owned());
            return self.reply(UNAVAILABLE).await;
        }
        self.reply("220 demo.local ESMTP; nothing leaves this machine").await?;
        loop {
            let line = tokio::select! {
                biased;
                _ = down.wait_for(|down| *down) => None,
                line = timeout(MAX_IDLE, self.line()) => Some(line),
            };
            let line = match line {
                Some(Ok(Ok(Some(line)))) => line,
                Some(Ok(Ok(None))) => return Ok(()),
                Some(Ok(Err(error))) => return Err(error),
                Some(Err(_)) => return self.reply("421 4.4.2 timeout").await,
                None => return self.reply(UNAVAILABLE).await,
            };
            // A web page can make a browser send a letter as the body of a request.
            if is_http(&line) {
                return self.reply("421 4.7.0 this is not a web server").await;
            }
            let step = match Request::parse(&mut line.iter()).map(Request::into_owned) {
                Ok(request) => self.answer(request).await?,
                Err(error) => {
                    self.reply(refusal(&error)).await?;
                    Step::Continue
                }
            };
            match step {
                Step::Continue => {}
                Step::Close => return Ok(()),
            }
        }
    }

    async fn answer(&mut self, request: Request<String>) -> io::Result<Step> {
        let reply = match request {
            Request::Ehlo { .. } => {
                self.envelope = None;
                &format!(
                    "250-demo.local\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE {MAX_MESSAGE}\r\n\
                     250 ENHANCEDSTATUSCODES"
                )
            }
            Request::Helo { .. } => {
                self.envelope = None;
                "250 demo.local"
            }
            Request::Mail { from } if from.size > MAX_MESSAGE => TOO_LARGE,
            Request::Mail { from } => self.begin(from.address),
            Request::Rcpt { to } => self.add_recipient(to.address),
            Request::Data => return self.receive().await,
            Request::Rset => {
                self.envelope = None;
                "250 2.0.0 reset"
            }
            Request::Noop { .. } => "250 2.0.0 ok",
            Request::Vrfy { .. } => "252 2.5.2 send the message and see",
            Request::Quit => {
                self.reply("221 2.0.0 goodbye").await?;
                return Ok(Step::Close);
            }
            Request::Lhlo { .. }
            | Request::Bdat { .. }
            | Request::Auth { .. }
            | Request::Expn { .. }
            | Request::Help { .. }
            | Request::Etrn { .. }
            | Request::Atrn { .. }
            | Request::Burl { .. }
            | Request::StartTls => "502 5.5.1 not supported",
        };
        self.reply(reply).await?;
        Ok(Step::Continue)
    }

    fn begin(&mut self, from: String) -> &'static str {
        if self.envelope.is_some() {
            return "503 5.5.1 a transaction is open";
        }
        // The address becomes a header line of the file.
        if from.contains(char::is_control) {
            return "501 5.1.7 a control character in the address";
        }
        self.envelope = Some(MailEnvelope { from, to: Vec::new() });
        "250 2.1.0 ok"
    }

    fn add_recipient(&mut self, to: String) -> &'static str {
        let Some(envelope) = &mut self.envelope else { return "503 5.5.1 MAIL first" };
        if to.contains(char::is_control) {
            return "501 5.1.3 a control character in the address";
        }
        if envelope.to.len() == MAX_RECIPIENTS {
            return "452 4.5.3 too many recipients";
        }
        if self.inbox.is_bouncing() {
            self.inbox.report_refusal(format!("email to {to} refused: {UNKNOWN_ADDRESS}"));
            return UNKNOWN_ADDRESS;
        }
        envelope.to.push(to);
        "250 2.1.5 ok"
    }

    /// DATA. The message is on disk before the client gets its 250.
    async fn receive(&mut self) -> io::Result<Step> {
        let Some(envelope) = self.envelope.take().filter(|envelope| !envelope.to.is_empty()) else {
            self.reply("503 5.5.1 MAIL and RCPT first").await?;
            return Ok(Step::Continue);
        };
        self.reply("354 end with a line that has only a dot").await?;
        let Some(message) = self.message().await? else {
            self.refuse_rest(TOO_LARGE).await?;
            return Ok(Step::Close);
        };
        match self.inbox.accept(&envelope, &message).await {
            Ok(id) => self.reply(&format!("250 2.0.0 stored as {id}")).await?,
            Err(error) => {
                tracing::warn!(%error, "the demo's mail server cannot store a message");
                self.reply("451 4.3.0 cannot store the message").await?;
            }
        }
        Ok(Step::Continue)
    }

    /// The content with its dots unstuffed; `None` if it is too large.
    async fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let (mut receiver, mut message) = (DataReceiver::new(), Vec::new());
        // The content begins a line: without this, the receiver overlooks a dot in the first one.
        receiver.ingest(&mut b"\r\n".iter(), &mut message);
        let prefix = message.len();
        loop {
            let mut bytes = self.input.iter();
            let is_complete = receiver.ingest(&mut bytes, &mut message);
            let unread = bytes.as_slice().len();
            self.input.drain(..self.input.len() - unread);
            if message.len() > prefix + MAX_MESSAGE {
                return Ok(None);
            }
            if is_complete {
                message.drain(..prefix);
                return Ok(Some(message));
            }
            let read = timeout(MAX_IDLE, self.read()).await.map_err(io::Error::from)?;
            if read? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next line with its end; `None` if the connection ended.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.input.drain(..=end).collect()));
            }
            if self.input.len() > MAX_LINE {
                self.refuse_rest("500 5.5.6 the line is too long").await?;
                return Ok(None);
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.input.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.input).await
    }

    /// Replies and ends the session. Discards what the client still sends, for a moment: closing a
    /// socket with unread input resets the connection, and the client would lose the reply.
    async fn refuse_rest(&mut self, text: &str) -> io::Result<()> {
        self.reply(text).await?;
        self.stream.shutdown().await?;
        let discard = async {
            while self.read().await? > 0 {
                self.input.clear();
            }
            Ok(())
        };
        timeout(MAX_LINGER, discard).await.unwrap_or(Ok(()))
    }

    async fn reply(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await
    }
}

fn refusal(error: &Error) -> &'static str {
    match error {
        Error::UnknownCommand | Error::NeedsMoreData { .. } | Error::InvalidResponse { .. } => {
            "500 5.5.1 unknown command"
        }
        Error::InvalidSenderAddress => "501 5.1.7 invalid address",
        Error::InvalidRecipientAddress => "501 5.1.3 invalid address",
        Error::SyntaxError { .. } | Error::InvalidParameter { .. } => "501 5.5.4 syntax error",
        Error::UnsupportedParameter { .. } => "555 5.5.4 unsupported parameter",
        Error::ResponseTooLong => "500 5.5.6 the line is too long",
    }
}
