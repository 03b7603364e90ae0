//! The relay, without sending an email, and the DKIM key.

use super::{Check, CheckParts, MAX_WAIT};
use crate::clock::Clock;
use crate::mail::{Algorithm, Relay, RelaySettings, RelayUrl, Sender, Timeouts};
use crate::queue::Circuit;

const NAME: &str = "relay";

pub(super) async fn check(parts: &CheckParts) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(relay) = &parts.relay {
        checks.push(check_relay(relay, parts.is_live()).await);
    }
    checks.extend(parts.email.as_ref().map(|email| check_dkim_key(&email.sender)));
    checks
}

async fn check_relay(settings: &RelaySettings, is_live: bool) -> Check {
    const UNENCRYPTED: &str =
        "use smtps:// or ?tls=required in SMTP_URL, unless the network to the relay is private";
    const REMEDY: &str = "check SMTP_URL: host, port, tls, user and password";
    let command = settings.timeouts.command.min(MAX_WAIT);
    let settings =
        RelaySettings { timeouts: Timeouts { command, ..settings.timeouts }, ..settings.clone() };
    let url = &settings.url;
    // A circuit of its own: the check must not stop the service's emails.
    let relay = Relay::new(&settings, Circuit::new(NAME, Clock::system()));
    // Each command has its time, and there are half a dozen.
    let Ok(found) = tokio::time::timeout(MAX_WAIT, relay.check()).await else {
        let text = format!("{url} did not answer within {} s", MAX_WAIT.as_secs());
        return Check::wrong(NAME, text, REMEDY);
    };
    let name = match (found, url) {
        (Ok(_), RelayUrl::File(dir)) => {
            return Check::ok(NAME, format!("emails are written to {}", dir.display()));
        }
        (Ok(name), RelayUrl::Smtp(_)) => name,
        (Err(error), _) => {
            return Check::wrong(NAME, error.to_string(), REMEDY);
        }
    };
    let text = format!("{url} answers as {name}");
    if is_live && url.unencrypted_host().is_some() {
        Check::warn(NAME, format!("{text}; emails may travel unencrypted"), UNENCRYPTED)
    } else {
        Check::ok(NAME, text)
    }
}

fn check_dkim_key(sender: &Sender) -> Check {
    const NAME: &str = "DKIM key";
    let Some(dkim) = &sender.dkim else {
        let domain = sender.from.domain();
        let text = format!(
            "emails are not signed here: make sure that the relay signs for {domain}, or mail \
             programs show no unsubscribe button"
        );
        return Check::ok(NAME, text);
    };
    let text = format!("{}, {}", dkim.record_name(), dkim.algorithm());
    match dkim.algorithm() {
        Algorithm::Ed25519 => Check::warn(
            NAME,
            text,
            "use an RSA key of 2048 bits: many receivers do not verify Ed25519",
        ),
        Algorithm::Rsa { bits: ..2048 } => Check::warn(NAME, text, "create a key of 2048 bits"),
        Algorithm::Rsa { .. } => Check::ok(NAME, text),
    }
}
