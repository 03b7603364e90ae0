//! Connecting as the relay's URL demands: TCP, TLS or STARTTLS, EHLO, AUTH.

use std::fmt;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Error;
use super::session::Session;
use super::tls::Tls;
use crate::mail::relay_url::{self, Server};

/// A session that is ready for a message.
pub type Connection = Session<Box<dyn Stream>>;

/// TCP, or TLS over it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to one relay.
pub struct Connector {
    server: Server,
    tls: Tls,
}

impl Connector {
    pub fn new(server: Server) -> Self {
        Self { server, tls: Tls::default() }
    }

    /// Connects, protects the connection and logs in.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let Server { host, port, tls, login } = &self.server;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        // A command waits for the reply to the one before: Nagle's algorithm would only delay it.
        tcp.set_nodelay(true)?;
        let client_name = client_name(tcp.local_addr()?.ip());
        let is_loopback = tcp.peer_addr()?.ip().to_canonical().is_loopback();
        let mut session = if *tls == relay_url::Tls::Implicit {
            Connection::new(Box::new(self.tls.handshake(host, tcp).await?), true)
        } else {
            Connection::new(Box::new(tcp), is_loopback)
        };
        session.greeting().await?;
        session.ehlo(&client_name).await?;
        let wants_starttls = match tls {
            relay_url::Tls::None | relay_url::Tls::Implicit => false,
            relay_url::Tls::Opportunistic => session.offers_starttls(),
            relay_url::Tls::Required if session.offers_starttls() => true,
            relay_url::Tls::Required => return Err(Error::NoStartTls),
        };
        if wants_starttls {
            let stream = self.tls.handshake(host, session.starttls().await?).await?;
            session = Connection::new(Box::new(stream), true);
            session.ehlo(&client_name).await?;
        }
        if let Some((user, password)) = login {
            session.auth(user, password).await?;
        }
        Ok(session)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The machine's name, or its address where the name is not a domain name (RFC 5321 section 4.1.4).
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
