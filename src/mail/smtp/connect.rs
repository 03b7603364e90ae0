//! Opens a session as the relay's URL demands: TCP, TLS or STARTTLS, EHLO, AUTH.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::SmtpError;
use super::session::SmtpSession;
use super::tls::TlsClient;
use crate::mail::relay_url::{SmtpServer, TlsMode};

/// A session that is ready for a message.
pub type Connection = SmtpSession<Box<dyn Stream>>;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub struct Connector {
    server: SmtpServer,
    tls: TlsClient,
}

impl Connector {
    pub fn new(server: SmtpServer) -> Self {
        Self { server, tls: TlsClient::default() }
    }

    pub fn server(&self) -> &SmtpServer {
        &self.server
    }

    /// Connects, negotiates TLS and logs in.
    pub async fn connect(&self) -> Result<Connection, SmtpError> {
        let SmtpServer { host, port, tls, login } = &self.server;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        // Each command waits for the previous reply, so Nagle's algorithm would only add delay.
        tcp.set_nodelay(true)?;
        let client_name = client_name(tcp.local_addr()?.ip());
        let is_loopback = tcp.peer_addr()?.ip().to_canonical().is_loopback();
        let mut session = if *tls == TlsMode::Implicit {
            Connection::new(Box::new(self.tls.handshake(host, tcp).await?), true)
        } else {
            Connection::new(Box::new(tcp), is_loopback)
        };
        session.greeting().await?;
        session.ehlo(&client_name).await?;
        let wants_starttls = match tls {
            TlsMode::None | TlsMode::Implicit => false,
            TlsMode::Opportunistic => session.offers_starttls(),
            TlsMode::Required if session.offers_starttls() => true,
            TlsMode::Required => return Err(SmtpError::NoStartTls),
        };
        if wants_starttls {
            let stream = self.tls.handshake(host, session.starttls().await?).await?;
            // Capabilities announced before TLS are not trusted: EHLO is sent again.
            session = Connection::new(Box::new(stream), true);
            session.ehlo(&client_name).await?;
        }
        if let Some((user, password)) = login {
            session.auth(user, password).await?;
        }
        Ok(session)
    }
}

/// The argument of EHLO: the host name, or the local address if that is not a domain name (RFC 5321
/// section 4.1.4).
fn client_name(local: IpAddr) -> String {
    let is_domain = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let name = hostname::get().ok().and_then(|name| name.into_string().ok()).filter(is_domain);
    name.unwrap_or_else(|| match local {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    })
}
