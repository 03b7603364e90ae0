//! Settings: read once at startup, validated as a whole, and passed to each part as a small struct.
//!
//! `config/default.toml` lists every setting. `layers` merges it with the file and the environment,
//! `reader` converts single values, and `sections` and `email` assemble the structs. All errors are
//! reported together, each with the key or variable to change and without the value of a secret. No
//! other module reads the environment, except for the crash points of tests.

mod email;
mod layers;
mod reader;
mod sections;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;

use crate::flow::email as letters;
use crate::flow::webhook::SecretId;
use crate::flow::{inbox, webhook};
use crate::web::{api, console, feedback, ops, portal};
use crate::{database, http, mail, queue, stripe, telemetry};

use reader::Reader;

/// The commented defaults, as TOML.
pub const DEFAULTS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/default.toml"));

/// [`DEFAULTS`] as JSON, without the comments.
pub fn defaults_json() -> Value {
    toml::from_str(DEFAULTS).expect("a unit test parses config/default.toml")
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub database: database::Settings,
    pub stripe: stripe::Settings,
    pub webhook: webhook::Settings,
    pub inbox: inbox::Settings,
    pub email: letters::Settings,
    pub relay: mail::RelaySettings,
    /// `None` without `http.public_url` or without a key for the tokens of the dashboard.
    pub portal: Option<portal::Settings>,
    pub api: api::Settings,
    pub inbound: feedback::Settings,
    pub queue: queue::Settings,
    /// Maximum age of a cached financing summary.
    pub summary_for: Duration,
    /// Age at which personal data is erased; `None`: never.
    pub personal_data_for: Option<Duration>,
    /// From the end of one reconciliation to the start of the next.
    pub reconcile_every: Duration,
    pub http: http::Settings,
    /// `http.public_url`
    pub public_url: Option<Url>,
    pub ops: ops::Settings,
    /// `None` without a token.
    pub console: Option<console::Settings>,
    pub telemetry: telemetry::Settings,
    /// How long a shutdown waits for running work.
    pub shutdown_grace: Duration,
}

/// The settings of commands that work on the database alone.
#[derive(Clone, Debug)]
pub struct DatabaseOnly {
    pub database: database::Settings,
    pub telemetry: telemetry::Settings,
}

/// The settings of commands that record bounces.
#[derive(Clone, Debug)]
pub struct BounceSettings {
    pub database: DatabaseOnly,
    /// Receives a blind copy of each letter, so its bounces are ignored.
    pub bcc: Option<mail::Address>,
}

/// What a command requires beyond the settings that every command requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// At least one signing secret, to verify webhooks.
    WebhookSecret,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Error {
    /// The variable, file or key to change.
    place: String,
    problem: String,
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", listed(.0))]
pub struct Errors(Vec<Error>);

fn listed(errors: &[Error]) -> String {
    let head = match errors.len() {
        1 => "1 setting is missing or wrong:".to_owned(),
        count => format!("{count} settings are missing or wrong:"),
    };
    let lines = errors.iter().map(|error| format!("\n  {error}"));
    std::iter::once(head).chain(lines).collect()
}

impl Error {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

/// The environment of this process, without variables that are not UTF-8.
#[expect(clippy::disallowed_methods, reason = "the one place that the ban allows")]
pub fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// `ops.listen`, for a command that reads no other setting.
pub(crate) fn ops_listen(
    file: Option<&Path>,
    env: &HashMap<String, String>,
) -> Result<SocketAddr, Errors> {
    Reader::load(file, env, |reader| reader.listen("ops.listen", "127.0.0.1:9090"))
}

impl Settings {
    pub fn load(
        file: Option<&Path>,
        env: &HashMap<String, String>,
        requirement: Requirement,
    ) -> Result<Self, Errors> {
        Reader::load(file, env, |reader| reader.settings(requirement))
    }

    /// The relay's host, if letters to real merchants may reach it unencrypted. This deserves a
    /// warning and not an error: a relay in the same private network often has no TLS, and its name
    /// does not tell.
    pub fn unencrypted_relay(&self) -> Option<&str> {
        let livemode = stripe::livemode_of_key(self.stripe.api_key.expose_secret());
        self.relay.url.unencrypted_host().filter(|_| livemode == Some(true))
    }
}

impl DatabaseOnly {
    pub fn load(file: Option<&Path>, env: &HashMap<String, String>) -> Result<Self, Errors> {
        Reader::load(file, env, Reader::database_only)
    }
}

/// The settings of commands about the wording of letters.
#[derive(Clone, Debug)]
pub struct WordingSettings {
    pub email: letters::Settings,
    pub database: DatabaseOnly,
}

impl WordingSettings {
    pub fn load(file: Option<&Path>, env: &HashMap<String, String>) -> Result<Self, Errors> {
        Reader::load(file, env, |reader| Self {
            email: reader.email(),
            database: reader.database_only(),
        })
    }
}

/// The settings of commands about the webhook endpoint at Stripe.
#[derive(Clone, Debug)]
pub struct EndpointSettings {
    pub stripe: stripe::Settings,
    pub public_url: Option<Url>,
    pub telemetry: telemetry::Settings,
}

impl EndpointSettings {
    pub fn load(file: Option<&Path>, env: &HashMap<String, String>) -> Result<Self, Errors> {
        Reader::load(file, env, |reader| Self {
            stripe: reader.stripe(),
            public_url: reader.optional_url("http.public_url"),
            telemetry: reader.telemetry(),
        })
    }
}

/// The sections that `doctor` checks, each `None` if one of its own settings is wrong.
#[derive(Clone, Debug)]
pub struct ReadableSettings {
    pub database: Option<database::Settings>,
    pub stripe: Option<stripe::Settings>,
    pub email: Option<letters::Settings>,
    pub relay: Option<mail::RelaySettings>,
    /// `Some(None)`: not set.
    pub public_url: Option<Option<Url>>,
    pub telemetry: Option<telemetry::Settings>,
    /// Their names, in the order of the setting.
    pub webhook_secrets: Option<Vec<SecretId>>,
    /// All that is wrong with the settings of `serve`.
    pub errors: Vec<Error>,
}

impl ReadableSettings {
    pub fn load(file: Option<&Path>, env: &HashMap<String, String>) -> Self {
        let read_all = |reader: &mut Reader| reader.settings(Requirement::WebhookSecret);
        let errors = Reader::load(file, env, read_all).err();
        Self {
            database: Reader::load_part(file, env, Reader::database),
            stripe: Reader::load_part(file, env, Reader::stripe),
            email: Reader::load_part(file, env, Reader::email),
            relay: Reader::load_part(file, env, Reader::relay),
            public_url: Reader::load_part(file, env, |reader| {
                reader.optional_url("http.public_url")
            }),
            telemetry: Reader::load_part(file, env, Reader::telemetry),
            webhook_secrets: Reader::load_part(file, env, |reader| {
                reader
                    .webhook(Requirement::WebhookSecret)
                    .secrets
                    .iter()
                    .map(SecretId::of)
                    .collect()
            }),
            errors: errors.map(|Errors(all)| all).unwrap_or_default(),
        }
    }
}

impl BounceSettings {
    pub fn load(file: Option<&Path>, env: &HashMap<String, String>) -> Result<Self, Errors> {
        Reader::load(file, env, |reader| Self {
            database: reader.database_only(),
            bcc: reader.bcc(),
        })
    }
}
