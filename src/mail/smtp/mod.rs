//! The SMTP client (RFC 5321): one session with the relay, from the connection to the reply to the
//! final dot.
//!
//! Each step is a separate call, because the caller must know how far a failed attempt got
//! ([`super::relay`]). Only the expected reply counts as acceptance: 220 for the greeting and for
//! STARTTLS, 250 for EHLO, 235 for AUTH, 354 for DATA, any 2xx for MAIL, RCPT and the end of the
//! message. Input that arrives before a command is written cannot be the reply to it, and ends the
//! session. This module sets no time limits; callers do.
//!
//! | file | owns |
//! |---|---|
//! | `reply` | the reply parser: pure, incremental, bounded |
//! | `content` | line ends and dot-stuffing of the message content |
//! | `session` | commands and their replies, over any stream |
//! | `tls` | trusted certificates and the TLS handshake |
//! | `connect` | TCP, TLS or STARTTLS, EHLO and AUTH, as the relay's URL demands |
//!
//! Where the relay offers PIPELINING, MAIL, RCPT and DATA are written together
//! (`SmtpSession::start_message`).

mod connect;
mod content;
mod reply;
mod session;
mod tls;

pub use connect::{Connection, Connector};
pub use content::encode;
pub use reply::{Reply, ReplyError, ReplyParser, parse_replies};
pub use session::{MessageCommand, SmtpError};
