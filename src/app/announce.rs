//! What a process logs when it starts: its mode, what it is connected to, where it listens, and what
//! its settings leave out.

use std::net::SocketAddr;

use super::App;
use crate::mail::RelayUrl;

impl App {
    pub(super) fn announce(&self, ops: SocketAddr, public: Option<SocketAddr>) {
        let settings = &self.settings;
        let mode = self.mode();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            database = settings.database.location(),
            relay = %settings.relay.url,
            stripe = %settings.stripe.api_base,
            "starting in {mode} mode"
        );
        tracing::info!(address = %ops, "health and metrics at http://{ops}");
        if settings.console.is_some() {
            tracing::info!("console at http://{ops}/console");
        }
        self.announce_missing();
        // Last: other programs wait for this line.
        if let Some(address) = public {
            tracing::info!(
                %address,
                "ready ({mode} mode): Stripe webhooks at http://{address}/webhooks/stripe"
            );
        } else {
            tracing::info!("ready ({mode} mode): processing jobs");
        }
    }

    fn mode(&self) -> &'static str {
        if self.stripe.livemode() == Some(true) { "live" } else { "test" }
    }

    fn announce_missing(&self) {
        let settings = &self.settings;
        if let Some(url) = &settings.public_url {
            tracing::info!("merchants and Stripe reach this service at {url}");
        } else {
            tracing::warn!(
                "http.public_url is not set: there is no Capital section, and emails have no \
                 unsubscribe link"
            );
        }
        if settings.console.is_none() {
            tracing::info!("ops.token is not set: there is no console");
        }
        if let RelayUrl::File(dir) = &settings.relay.url {
            tracing::info!("emails are written to {}, not sent", dir.display());
        }
        if settings.email.disclaimers_dir.is_none() && self.stripe.livemode() == Some(true) {
            tracing::warn!(
                "email.disclaimers_dir is not set: emails to merchants are held until it has the \
                 disclaimers that Stripe approved"
            );
        }
    }
}
