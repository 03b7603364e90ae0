//! Whether a host is this machine.

use std::net::IpAddr;

/// Whether the host of a URL is this machine, by its text alone. An IPv6 address may have brackets.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_recognized_in_every_spelling() {
        for host in
            ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.rocket.example", "10.0.0.1", "[fe80::1]", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
