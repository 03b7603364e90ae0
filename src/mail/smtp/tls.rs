//! TLS: the trusted certificates and the handshake.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::SmtpError;

/// TLS 1.2 and 1.3 with the certificates that the system trusts, or those in `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`. They are loaded when the first connection needs them.
#[derive(Default)]
pub(super) struct TlsClient(OnceLock<TlsConnector>);

impl TlsClient {
    /// Fails unless the relay's certificate is valid for `host`.
    pub(super) async fn handshake<S>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<TlsStream<S>, SmtpError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| SmtpError::Tls(error.to_string()))?;
        Ok(self.connector()?.connect(name, stream).await?)
    }

    fn connector(&self) -> Result<&TlsConnector, SmtpError> {
        if let Some(connector) = self.0.get() {
            return Ok(connector);
        }
        let connector = load()?;
        Ok(self.0.get_or_init(|| connector))
    }
}

fn load() -> Result<TlsConnector, SmtpError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // Do not cache an empty store: certificates may be installed while the process runs.
    if roots.is_empty() {
        return Err(SmtpError::Tls(
            "the system has no trusted certificates: install ca-certificates, or set SSL_CERT_FILE"
                .to_owned(),
        ));
    }
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| SmtpError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
