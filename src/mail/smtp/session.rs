//! A session: commands and their replies, over any stream.

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
/// As much of unexpected input as an error shows.
const SHOWN_BYTES: usize = 100;
const ACCEPTED: RangeInclusive<u16> = 200..=299;

/// Why a step failed. After an error the session is over, but for [`Error::Refused`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 4xx or 5xx.
    #[error("{0}")]
    Refused(Reply),
    #[error("the relay broke the protocol: it answered {command} with `{reply}`")]
    Unexpected { command: &'static str, reply: Reply },
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the relay closed the connection")]
    Closed,
    #[error("the relay broke the protocol: it sent `{0}` before it was asked")]
    Unsolicited(String),
    /// CVE-2011-0411 and its kind.
    #[error(
        "data arrived after the reply to STARTTLS and before TLS, and someone on the network may have injected them: \
         closed the connection, sent nothing"
    )]
    InjectedBeforeTls,
    #[error("the relay does not offer STARTTLS, which tls=required demands: closed the connection")]
    NoStartTls,
    #[error(
        "the relay offers neither AUTH PLAIN nor AUTH LOGIN: check the port, and whether it wants a login"
    )]
    NoAuth,
    #[error(
        "the connection is not encrypted, so no password was sent: write ?tls=required or smtps:// in SMTP_URL"
    )]
    Unencrypted,
    #[error("cannot use TLS: {0}")]
    Tls(String),
    /// It would end the command and begin another.
    #[error("a control character in {0}")]
    ControlCharacter(&'static str),
}

/// One connection to the relay.
pub struct Session<S> {
    stream: S,
    is_confidential: bool,
    /// Received, and not parsed yet.
    input: Vec<u8>,
    /// The first line of the reply to EHLO: the relay's name. Then a capability a line.
    hello: Vec<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session over a connection on which nothing was said. It is confidential where nobody on the
    /// network can read it: under TLS, and on the loopback interface.
    pub fn new(stream: S, is_confidential: bool) -> Self {
        Self { stream, is_confidential, input: Vec::new(), hello: Vec::new() }
    }

    /// Waits for the relay's greeting.
    pub async fn greeting(&mut self) -> Result<(), Error> {
        let reply = self.read_reply().await?;
        expect(reply, "the connection", 220..=220).map(drop)
    }

    /// Introduces us, and learns the relay's capabilities.
    pub async fn ehlo(&mut self, client_name: &str) -> Result<(), Error> {
        let reply = self.command("EHLO", &format!("EHLO {client_name}")).await?;
        self.hello = expect(reply, "EHLO", 250..=250)?.lines().to_vec();
        Ok(())
    }

    /// The name by which the relay introduced itself.
    pub fn relay_name(&self) -> &str {
        self.hello.first().and_then(|line| line.split_whitespace().next()).unwrap_or_default()
    }

    /// Whether the relay has a capability, and with which parameters: of the newest EHLO alone.
    fn capability(&self, keyword: &str) -> Option<impl Iterator<Item = &str>> {
        self.hello.iter().skip(1).find_map(|line| {
            // `AUTH=PLAIN LOGIN` is how some servers wrote it before RFC 2554.
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            words.next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)).then_some(words)
        })
    }

    pub fn offers_starttls(&self) -> bool {
        self.capability("STARTTLS").is_some()
    }

    fn offers_auth(&self, mechanism: &str) -> bool {
        let mut offered = self.capability("AUTH").into_iter().flatten();
        offered.any(|word| word.eq_ignore_ascii_case(mechanism))
    }

    /// Asks for TLS and returns the stream for the handshake. Everything learned so far is forgotten
    /// with the session (RFC 3207 section 4.2), and nothing that was received may be left over: it came
    /// unencrypted, and would be read as if it had come under TLS.
    pub async fn starttls(mut self) -> Result<S, Error> {
        let reply = self.command("STARTTLS", "STARTTLS").await?;
        expect(reply, "STARTTLS", 220..=220)?;
        self.receive_arrived().await?;
        if self.input.is_empty() { Ok(self.stream) } else { Err(Error::InjectedBeforeTls) }
    }

    /// Logs in (RFC 4954). Sends nothing where others on the network could read the password.
    pub async fn auth(&mut self, user: &str, password: &SecretString) -> Result<(), Error> {
        if !self.is_confidential {
            return Err(Error::Unencrypted);
        }
        let reply = if self.offers_auth("PLAIN") {
            let response =
                BASE64_STANDARD.encode(format!("\0{user}\0{}", password.expose_secret()));
            self.command("AUTH", &format!("AUTH PLAIN {response}")).await?
        } else if self.offers_auth("LOGIN") {
            for line in ["AUTH LOGIN".to_owned(), BASE64_STANDARD.encode(user)] {
                let reply = self.command("AUTH", &line).await?;
                expect(reply, "AUTH", 334..=334)?;
            }
            self.command("AUTH", &BASE64_STANDARD.encode(password.expose_secret())).await?
        } else {
            return Err(Error::NoAuth);
        };
        expect(reply, "AUTH", 235..=235).map(drop)
    }

    /// Begins a message. Empty: the null sender.
    pub async fn mail(&mut self, sender: &str) -> Result<(), Error> {
        let reply = self.command("MAIL", &format!("MAIL FROM:<{sender}>")).await?;
        expect(reply, "MAIL", ACCEPTED).map(drop)
    }

    pub async fn rcpt(&mut self, recipient: &str) -> Result<(), Error> {
        let reply = self.command("RCPT", &format!("RCPT TO:<{recipient}>")).await?;
        expect(reply, "RCPT", ACCEPTED).map(drop)
    }

    /// Asks for the message to be accepted. Only 354 says that the relay waits for it.
    pub async fn data(&mut self) -> Result<(), Error> {
        let reply = self.command("DATA", "DATA").await?;
        expect(reply, "DATA", 354..=354).map(drop)
    }

    /// Writes the message, without the final dot: after any error the relay does not have it.
    pub async fn content(&mut self, message: &[u8]) -> Result<(), Error> {
        self.expect_silence().await?;
        self.stream.write_all(&content::encode(message)).await?;
        self.stream.flush().await?;
        self.receive_arrived().await?;
        if self.input.is_empty() {
            return Ok(());
        }
        // A relay may refuse a message before its end. It cannot accept one.
        let reply = self.read_reply().await?;
        let command = "a message without its end";
        Err(if reply.is_refusal() {
            Error::Refused(reply)
        } else {
            Error::Unexpected { command, reply }
        })
    }

    /// Writes the final dot, and returns the reply to the message. After any error but
    /// [`Error::Refused`] the relay may have accepted it.
    pub async fn end_of_message(&mut self) -> Result<Reply, Error> {
        self.stream.write_all(b".\r\n").await?;
        self.stream.flush().await?;
        let reply = expect(self.read_reply().await?, "the end of the message", ACCEPTED)?;
        // A refusal right behind the acceptance contradicts it. A relay that closes says 421.
        let _ = self.receive_arrived().await;
        let contradicts = |other: &Reply| other.is_refusal() && other.code() != 421;
        match parse_replies(&self.input).unwrap_or_default().into_iter().find(contradicts) {
            Some(reply) => Err(Error::Unexpected { command: "an accepted message", reply }),
            None => Ok(reply),
        }
    }

    pub async fn quit(&mut self) -> Result<(), Error> {
        self.command("QUIT", "QUIT").await.map(drop)
    }

    /// Whether nothing was received beyond the last reply.
    pub fn is_in_sync(&self) -> bool {
        self.input.is_empty()
    }

    async fn command(&mut self, name: &'static str, line: &str) -> Result<Reply, Error> {
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Error::ControlCharacter(name));
        }
        self.expect_silence().await?;
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        self.read_reply().await
    }

    async fn read_reply(&mut self) -> Result<Reply, Error> {
        let mut parser = ReplyParser::default();
        loop {
            let (consumed, reply) = parser.push(&self.input)?;
            self.input.drain(..consumed);
            if let Some(reply) = reply {
                return Ok(reply);
            }
            let mut bytes = [0; READ_BYTES];
            match self.stream.read(&mut bytes).await? {
                0 => return Err(Error::Closed),
                read => self.input.extend_from_slice(&bytes[..read]),
            }
        }
    }

    /// Fails where the relay spoke before it was asked, or hung up.
    async fn expect_silence(&mut self) -> Result<(), Error> {
        self.receive_arrived().await?;
        if self.input.is_empty() {
            return Ok(());
        }
        let shown = &self.input[..self.input.len().min(SHOWN_BYTES)];
        Err(Error::Unsolicited(String::from_utf8_lossy(shown).trim_end().to_owned()))
    }

    /// Takes what has arrived, and does not wait for more. Input that is still on its way is not seen:
    /// that cannot be told from a reply.
    async fn receive_arrived(&mut self) -> Result<(), Error> {
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
            (true, []) => Err(Error::Closed),
            (_, bytes) => {
                self.input.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// The reply, where it is the expected one.
fn expect(
    reply: Reply,
    command: &'static str,
    expected: RangeInclusive<u16>,
) -> Result<Reply, Error> {
    if expected.contains(&reply.code()) {
        Ok(reply)
    } else if reply.is_refusal() {
        Err(Error::Refused(reply))
    } else {
        Err(Error::Unexpected { command, reply })
    }
}

#[cfg(test)]
mod tests;
