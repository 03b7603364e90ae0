//! The service's settings in the demo, as an operator would write them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use super::brand::DemoBrand;
use super::secrets::Secrets;
use super::shell::USER_HEADER;
use crate::config::{Requirement, Settings};

/// What the settings lead to.
pub(super) struct Surroundings<'a> {
    pub(super) dir: &'a Path,
    /// The address that browsers use.
    pub(super) shell: SocketAddr,
    pub(super) stripe: String,
    /// As `SMTP_URL`.
    pub(super) relay: String,
    pub(super) brand: &'a DemoBrand,
    pub(super) secrets: &'a Secrets,
    pub(super) log: &'a str,
}

pub(super) const AUDIENCE: &str = "capital-courier";

pub(super) fn settings(around: &Surroundings<'_>) -> anyhow::Result<Settings> {
    let (shell, secrets) = (around.shell, around.secrets);
    let [logo, logo_dark] = around.brand.logo_urls(shell);
    let mut env = HashMap::from(
        [
            ("COURIER_DATABASE__DATA_DIR", around.dir.join("postgres").display().to_string()),
            ("STRIPE_API_KEY", secrets.stripe_key.clone()),
            ("STRIPE_WEBHOOK_SECRET", secrets.webhook_secret.clone()),
            ("COURIER_STRIPE__API_BASE", around.stripe.clone()),
            ("SMTP_URL", around.relay.clone()),
            // Even with a real relay, the blind copy must not reach Stripe.
            ("COURIER_EMAIL__BCC", "capital-offers@stripe.example".to_owned()),
            (
                "COURIER_EMAIL__FROM",
                format!("{} <capital@rocket.example>", quoted(&around.brand.name)),
            ),
            (
                "COURIER_EMAIL__POSTAL_ADDRESS",
                "Rocket Platform Inc., 1 Main Street, Springfield, IL 62701, USA".to_owned(),
            ),
            ("COURIER_CAPITAL__PROGRAM_NAME", around.brand.name.clone()),
            ("COURIER_CAPITAL__DASHBOARD_URL", format!("http://{shell}/dashboard")),
            ("COURIER_BRAND__LOGO_URL", logo),
            ("COURIER_BRAND__LOGO_DARK_URL", logo_dark),
            ("COURIER_HTTP__LISTEN", usual_or_free(8080)?.to_string()),
            ("COURIER_HTTP__PUBLIC_URL", format!("http://{shell}")),
            ("COURIER_PORTAL__TOKEN_SECRET", secrets.token_secret.clone()),
            ("COURIER_OPS__LISTEN", usual_or_free(9090)?.to_string()),
            ("COURIER_OPS__USER_HEADER", USER_HEADER.to_owned()),
            ("COURIER_OPS__TOKEN", secrets.ops_token.clone()),
            // Days pass in a second, and not only on weekdays.
            ("COURIER_REMINDERS__AFTER_7_DAYS", "true".to_owned()),
            ("COURIER_REMINDERS__AFTER_14_DAYS", "true".to_owned()),
            ("COURIER_REMINDERS__HOURS", "0-24".to_owned()),
            ("COURIER_REMINDERS__WEEKDAYS", "mon,tue,wed,thu,fri,sat,sun".to_owned()),
            // The service is killed here more often than anywhere: nothing is sent twice unasked.
            ("COURIER_EMAIL__WHEN_UNCERTAIN", "hold".to_owned()),
            // A killed service is replaced in seconds, and so are its leases.
            ("COURIER_QUEUE__LEASE", "5s".to_owned()),
            ("COURIER_TELEMETRY__FILTER", around.log.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(color) = &around.brand.color {
        env.insert("COURIER_BRAND__ACCENT_COLOR".to_owned(), color.clone());
    }
    Ok(Settings::load(None, &env, Requirement::WebhookSecret)?)
}

/// A display name of RFC 5322, whatever its characters.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace(['"', '\\'], ""))
}

/// The usual port if it is free, else any.
fn usual_or_free(port: u16) -> std::io::Result<SocketAddr> {
    let at = |port| std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)));
    at(port).or_else(|_| at(0))?.local_addr()
}
