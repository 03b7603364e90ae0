//! One SMTP session: commands and their replies, over any stream.

use std::future::poll_fn;
use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::Poll;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::content;
use super::reply::{Reply, ReplyError, ReplyParser, parse_replies};

const READ_BYTES: usize = 4_096;
/// How much of unexpected input an error quotes.
const QUOTED_BYTES: usize = 100;
const ACCEPTED: RangeInclusive<u16> = 200..=299;

/// Why a command failed. After any error except [`SmtpError::Refused`] the session is unusable.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    #[error("{0}")]
    Refused(Reply),
    #[error("the relay broke the protocol: it replied to {command} with `{reply}`")]
    Unexpected { command: &'static str, reply: Reply },
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the relay closed the connection")]
    Closed,
    #[error("the relay broke the protocol: it sent `{0}` before a command")]
    Unsolicited(String),
    /// STARTTLS command injection (CVE-2011-0411).
    #[error(
        "data arrived after the reply to STARTTLS and before TLS, possibly injected on the \
         network: closed the connection, sent nothing"
    )]
    InjectedBeforeTls,
    #[error("the relay does not offer STARTTLS, which tls=required demands: closed the connection")]
    NoStartTls,
    #[error(
        "the relay offers neither AUTH PLAIN nor AUTH LOGIN: check the port, and whether it \
         requires a login"
    )]
    NoAuth,
    #[error(
        "the connection is not encrypted, so no password was sent: use ?tls=required or smtps:// \
         in SMTP_URL"
    )]
    Unencrypted,
    #[error("cannot use TLS: {0}")]
    Tls(String),
    /// A line break in an argument would start another command.
    #[error("the argument of {0} contains a control character")]
    ControlCharacter(&'static str),
}

/// A command that starts a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageCommand {
    Mail,
    /// For the recipient at this position.
    Rcpt(usize),
    Data,
}

impl MessageCommand {
    fn name(self) -> &'static str {
        match self {
            Self::Mail => "MAIL",
            Self::Rcpt(_) => "RCPT",
            Self::Data => "DATA",
        }
    }

    /// The only replies that count as acceptance: 354 says that the relay waits for the content.
    fn expected(self) -> RangeInclusive<u16> {
        match self {
            Self::Mail | Self::Rcpt(_) => ACCEPTED,
            Self::Data => 354..=354,
        }
    }
}

pub struct SmtpSession<S> {
    stream: S,
    is_confidential: bool,
    /// Received and not yet parsed.
    input: Vec<u8>,
    /// The reply to the latest EHLO: the relay's name, then one capability per line.
    ehlo_lines: Vec<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SmtpSession<S> {
    /// Wraps a connection on which nothing has been exchanged. `is_confidential` says that the
    /// network cannot read it: under TLS, or on the loopback interface.
    pub fn new(stream: S, is_confidential: bool) -> Self {
        Self { stream, is_confidential, input: Vec::new(), ehlo_lines: Vec::new() }
    }

    /// Waits for the greeting, which the relay sends first.
    pub async fn greeting(&mut self) -> Result<(), SmtpError> {
        expect(self.read_reply().await?, "the connection", 220..=220).map(drop)
    }

    /// Sends EHLO and stores the relay's capabilities.
    pub async fn ehlo(&mut self, client_name: &str) -> Result<(), SmtpError> {
        let line = format!("EHLO {client_name}");
        self.ehlo_lines = self.command("EHLO", &line, 250..=250).await?.lines().to_vec();
        Ok(())
    }

    /// The relay's name in its reply to EHLO.
    pub fn relay_name(&self) -> &str {
        self.ehlo_lines.first().and_then(|line| line.split_whitespace().next()).unwrap_or_default()
    }

    /// The parameters of a capability, if the latest EHLO reply announced it.
    fn capability(&self, keyword: &str) -> Option<impl Iterator<Item = &str>> {
        self.ehlo_lines.iter().skip(1).find_map(|line| {
            // Before RFC 2554 some servers wrote `AUTH=PLAIN LOGIN`.
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            words.next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)).then_some(words)
        })
    }

    fn offers_pipelining(&self) -> bool {
        self.capability("PIPELINING").is_some()
    }

    pub fn offers_starttls(&self) -> bool {
        self.capability("STARTTLS").is_some()
    }

    fn offers_auth(&self, mechanism: &str) -> bool {
        let mut offered = self.capability("AUTH").into_iter().flatten();
        offered.any(|word| word.eq_ignore_ascii_case(mechanism))
    }

    /// Sends STARTTLS and returns the stream for the handshake. The session is consumed, because
    /// everything learned before TLS must be forgotten (RFC 3207 section 4.2). Unread input is an
    /// error: it arrived unencrypted and would be read as if it had arrived under TLS.
    pub async fn starttls(mut self) -> Result<S, SmtpError> {
        self.command("STARTTLS", "STARTTLS", 220..=220).await?;
        self.receive_arrived().await?;
        if self.input.is_empty() { Ok(self.stream) } else { Err(SmtpError::InjectedBeforeTls) }
    }

    /// Logs in (RFC 4954). Fails without sending anything if the network could read the password.
    pub async fn auth(&mut self, user: &str, password: &SecretString) -> Result<(), SmtpError> {
        if !self.is_confidential {
            return Err(SmtpError::Unencrypted);
        }
        let password = password.expose_secret();
        let last_line = if self.offers_auth("PLAIN") {
            format!("AUTH PLAIN {}", BASE64_STANDARD.encode(format!("\0{user}\0{password}")))
        } else if self.offers_auth("LOGIN") {
            for line in ["AUTH LOGIN".to_owned(), BASE64_STANDARD.encode(user)] {
                self.command("AUTH", &line, 334..=334).await?;
            }
            BASE64_STANDARD.encode(password)
        } else {
            return Err(SmtpError::NoAuth);
        };
        self.command("AUTH", &last_line, 235..=235).await.map(drop)
    }

    /// Starts a message: MAIL, RCPT for each recipient, DATA. An empty sender is the null
    /// reverse-path. Fails with the first command that was not accepted, and its reply.
    ///
    /// Where the relay offers PIPELINING (RFC 2920), the commands are written together. The replies
    /// come in the order of the commands; one too many shows at the latest at DATA, which accepts
    /// 354 only. After an error the relay may have answered 354 to the DATA behind the refused
    /// command, and would take anything but the end of the connection for a part of the message. A
    /// connection that ends there discards it (RFC 5321 section 4.1.1.4).
    pub async fn start_message(
        &mut self,
        sender: &str,
        recipients: &[&str],
    ) -> Result<(), (MessageCommand, SmtpError)> {
        let mut commands = vec![(MessageCommand::Mail, format!("MAIL FROM:<{sender}>"))];
        commands.extend(recipients.iter().enumerate().map(|(position, recipient)| {
            (MessageCommand::Rcpt(position), format!("RCPT TO:<{recipient}>"))
        }));
        commands.push((MessageCommand::Data, "DATA".to_owned()));
        let together = if self.offers_pipelining() { commands.len() } else { 1 };
        for group in commands.chunks(together) {
            self.write_group(group).await?;
            for (command, _) in group {
                let failed = |error| (*command, error);
                let reply = self.read_reply().await.map_err(failed)?;
                expect(reply, command.name(), command.expected()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Writes all commands or, if an argument could start another command, none.
    async fn write_group(
        &mut self,
        group: &[(MessageCommand, String)],
    ) -> Result<(), (MessageCommand, SmtpError)> {
        let mut lines = String::new();
        for (command, line) in group {
            check_argument(command.name(), line).map_err(|error| (*command, error))?;
            lines.push_str(line);
            lines.push_str("\r\n");
        }
        // Nothing of the group was answered, so a failure belongs to its first command.
        let first = group.first().map_or(MessageCommand::Mail, |(command, _)| *command);
        self.write(&lines).await.map_err(|error| (first, error))
    }

    /// Writes the content without the final dot. After any error the relay does not have the
    /// message.
    pub async fn content(&mut self, message: &[u8]) -> Result<(), SmtpError> {
        self.expect_silence().await?;
        self.stream.write_all(&content::encode(message)).await?;
        self.stream.flush().await?;
        self.receive_arrived().await?;
        if self.input.is_empty() {
            return Ok(());
        }
        // A relay may refuse a message before its end, but cannot accept it.
        let reply = self.read_reply().await?;
        let command = "a message without its end";
        Err(if reply.is_refusal() {
            SmtpError::Refused(reply)
        } else {
            SmtpError::Unexpected { command, reply }
        })
    }

    /// Writes the final dot and returns the reply to the message. After any error except
    /// [`SmtpError::Refused`] the relay may have accepted it.
    pub async fn end_of_message(&mut self) -> Result<Reply, SmtpError> {
        self.stream.write_all(b".\r\n").await?;
        self.stream.flush().await?;
        let reply = expect(self.read_reply().await?, "the end of the message", ACCEPTED)?;
        // A refusal that directly follows the acceptance contradicts it. 421 only announces that
        // the relay closes the connection.
        let _ = self.receive_arrived().await;
        let contradicts = |other: &Reply| other.is_refusal() && other.code() != 421;
        match parse_replies(&self.input).unwrap_or_default().into_iter().find(contradicts) {
            Some(reply) => Err(SmtpError::Unexpected { command: "an accepted message", reply }),
            None => Ok(reply),
        }
    }

    pub async fn quit(&mut self) -> Result<(), SmtpError> {
        self.command("QUIT", "QUIT", ACCEPTED).await.map(drop)
    }

    /// Whether all received input was consumed, so that the session can be reused.
    pub fn is_in_sync(&self) -> bool {
        self.input.is_empty()
    }

    async fn command(
        &mut self,
        name: &'static str,
        line: &str,
        expected: RangeInclusive<u16>,
    ) -> Result<Reply, SmtpError> {
        check_argument(name, line)?;
        self.write(&format!("{line}\r\n")).await?;
        expect(self.read_reply().await?, name, expected)
    }

    /// Writes commands, unless something arrived before them.
    async fn write(&mut self, lines: &str) -> Result<(), SmtpError> {
        self.expect_silence().await?;
        self.stream.write_all(lines.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    async fn read_reply(&mut self) -> Result<Reply, SmtpError> {
        let mut parser = ReplyParser::default();
        loop {
            let (consumed, reply) = parser.push(&self.input)?;
            self.input.drain(..consumed);
            if let Some(reply) = reply {
                return Ok(reply);
            }
            let mut bytes = [0; READ_BYTES];
            match self.stream.read(&mut bytes).await? {
                0 => return Err(SmtpError::Closed),
                read => self.input.extend_from_slice(&bytes[..read]),
            }
        }
    }

    /// Fails if the relay sent something before a command was written, or closed the connection.
    async fn expect_silence(&mut self) -> Result<(), SmtpError> {
        self.receive_arrived().await?;
        if self.input.is_empty() {
            return Ok(());
        }
        let quoted = &self.input[..self.input.len().min(QUOTED_BYTES)];
        Err(SmtpError::Unsolicited(String::from_utf8_lossy(quoted).trim_end().to_owned()))
    }

    /// Reads input that has already arrived, without waiting. Input still in transit is missed: it
    /// cannot be distinguished from a reply.
    async fn receive_arrived(&mut self) -> Result<(), SmtpError> {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        let stream = &mut self.stream;
        let has_read =
            poll_fn(|context| match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
                Poll::Pending => Poll::Ready(Ok(false)),
            })
            .await?;
        match (has_read, buffer.filled()) {
            (true, []) => Err(SmtpError::Closed),
            (_, bytes) => {
                self.input.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// A line break in an address would start a second command (SMTP injection).
fn check_argument(command: &'static str, line: &str) -> Result<(), SmtpError> {
    if line.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(SmtpError::ControlCharacter(command));
    }
    Ok(())
}

/// Returns the reply if its code is the expected one.
fn expect(
    reply: Reply,
    command: &'static str,
    expected: RangeInclusive<u16>,
) -> Result<Reply, SmtpError> {
    if expected.contains(&reply.code()) {
        Ok(reply)
    } else if reply.is_refusal() {
        Err(SmtpError::Refused(reply))
    } else {
        Err(SmtpError::Unexpected { command, reply })
    }
}

#[cfg(test)]
mod tests;
