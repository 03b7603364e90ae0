//! The HTTPS client of all calls that this service makes.

use std::time::Duration;

/// A client with TLS by ring. It follows no redirect, which would carry a key to an address that
/// nobody checked.
pub fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    // More than one crate brings rustls along. The first one decides, and all of ours decide alike.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("capital-courier/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
}
