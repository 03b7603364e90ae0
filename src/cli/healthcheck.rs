//! `healthcheck`: asks this machine's own process for `/readyz`. For the `HEALTHCHECK` of a
//! container, whose image has no shell and no curl.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};

use crate::config::{self, environment};
use crate::http::client;

/// Longer than `/readyz` takes at most (2 s), so that its answer says what is wrong.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A program that is not ours may answer, with a page of any length.
const SHOWN_CHARS: usize = 300;

/// An error unless the answer is 200. Requires no other setting than `ops.listen`, which every role
/// serves.
pub(super) async fn run(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    // Exit status 1, not 64: Docker documents 0 and 1 alone.
    let listen =
        config::ops_listen(config, &environment()).map_err(|errors| anyhow!("{errors}"))?;
    let url = format!("http://{}/readyz", reachable(listen));
    let answer = async {
        // A proxy for outgoing requests may be set, and does not reach the loopback address.
        let client = client::builder(TIMEOUT).no_proxy().build()?;
        let response = client.get(&url).send().await?;
        Ok::<_, anyhow::Error>((response.status(), response.text().await?))
    };
    let (status, body) = answer.await.context("not ready")?;
    let body: String = body.lines().next().unwrap_or_default().chars().take(SHOWN_CHARS).collect();
    ensure!(status.as_u16() == 200, "not ready: {url} answered {status}: {body}");
    Ok(ExitCode::SUCCESS)
}

/// A wildcard address accepts connections and is no destination.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_address_is_reached_over_the_loopback_interface() {
        for (listen, expected) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.1.2.3:9", "10.1.2.3:9"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
