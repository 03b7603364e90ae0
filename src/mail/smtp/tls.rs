//! TLS: which certificates are trusted, and the handshake.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Error;

/// Trusts what the machine trusts, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name; speaks TLS 1.2 and
/// 1.3. The certificates are loaded for the first connection that needs them.
#[derive(Default)]
pub(super) struct Tls(OnceLock<TlsConnector>);

impl Tls {
    /// The handshake, with a relay whose certificate is valid for `host`.
    pub(super) async fn handshake<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| Error::Tls(error.to_string()))?;
        Ok(self.connector()?.connect(name, stream).await?)
    }

    fn connector(&self) -> Result<&TlsConnector, Error> {
        if let Some(connector) = self.0.get() {
            return Ok(connector);
        }
        let connector = load()?;
        Ok(self.0.get_or_init(|| connector))
    }
}

fn load() -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // Not kept: they may be installed while we run.
    if roots.is_empty() {
        return Err(Error::Tls(
            "this machine trusts no certificates: install ca-certificates, or set SSL_CERT_FILE"
                .to_owned(),
        ));
    }
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
