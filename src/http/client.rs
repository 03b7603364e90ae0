//! The HTTPS client for all outgoing requests.

use std::time::Duration;

/// A client that uses ring for TLS. It follows no redirects, because a redirect could send an API
/// key to an unchecked address.
pub fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    // Several dependencies use rustls, and the first to install a provider decides for the process.
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("capital-courier/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
}
