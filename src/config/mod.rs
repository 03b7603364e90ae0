//! Settings: read once, checked whole, handed down to each part as its own small struct.
//!
//! `config/default.toml` names every setting. A file is laid over it, and the environment over both (`layers`). All faults
//! are told at once, each with the place to mend, and never with a secret's value. This is the one place that reads the
//! environment.

mod layers;
mod letters;
mod portal;
mod reader;
mod sending;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::flow::{email, inbox, webhook};
use crate::web::{api, feedback, ops, portal as section};
use crate::{database, http, queue, stripe, telemetry};

use layers::Layers;
use reader::Reader;

/// Every setting with its default and what it is for, as TOML. Compiled in.
pub const DEFAULTS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/default.toml"));

/// Everything that the service was told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to keep things.
    pub database: database::Settings,
    /// How to speak to Stripe.
    pub stripe: stripe::Settings,
    /// What to take from Stripe.
    pub webhook: webhook::Settings,
    /// How the inbox is read.
    pub inbox: inbox::Settings,
    /// What letters need.
    pub email: email::Settings,
    /// What merchants see; none where they reach no address of ours.
    pub portal: Option<section::Settings>,
    /// What the platform's programs can have.
    pub api: api::Settings,
    /// Which senders' webhooks are listened to.
    pub inbound: feedback::Settings,
    /// How work is done.
    pub queue: queue::Settings,
    /// For how long a summary of Stripe's is good, if nothing is heard of the account meanwhile.
    pub summary_for: Duration,
    /// How old personal data may become; none: they stay.
    pub personal_data_for: Option<Duration>,
    /// From the end of one reconciliation to the beginning of the next.
    pub reconcile_every: Duration,
    /// Where the public side listens.
    pub http: http::Settings,
    /// Where the operators' side listens.
    pub ops: ops::Settings,
    /// What is logged, and how.
    pub telemetry: telemetry::Settings,
    /// How long a stop waits for what is in hand.
    pub shutdown_grace: Duration,
}

/// What it takes to bring the schema up to date.
#[derive(Clone, Debug)]
pub struct DatabaseOnly {
    /// Where to keep things.
    pub database: database::Settings,
    /// What is logged, and how.
    pub telemetry: telemetry::Settings,
}

/// What it takes to take reports about letters in.
#[derive(Clone, Debug)]
pub struct ForReports {
    /// Where to keep things, and what is logged.
    pub database: DatabaseOnly,
    /// Who gets the blind copy of each letter.
    pub copy: Option<crate::mail::Address>,
}

/// What a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Takes webhooks: secrets to verify them with.
    Webhooks,
    /// Works without ever seeing a webhook.
    WorkOnly,
}

/// Something wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where to mend it: a variable, a file, a key.
    pub place: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

/// All that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Faults(pub Vec<Fault>);

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<String> =
        faults.iter().map(|fault| format!("  {}: {}", fault.place, fault.problem)).collect();
    format!("the settings need mending:\n{}", lines.join("\n"))
}

impl Fault {
    fn new(place: &str, problem: impl Into<String>) -> Self {
        Self { place: place.to_owned(), problem: problem.into() }
    }
}

/// The environment of this process. Variables that are not UTF-8 cannot be settings and are left out.
#[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
pub fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Settings {
    /// Reads all settings.
    pub fn load(
        file: Option<&Path>,
        env: &HashMap<String, String>,
        needs: Needs,
    ) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let layers = Layers::read(file, env, &mut faults);
        let mut reader = Reader::new(&layers, faults);
        let settings = reader.settings(needs);
        reader.finish(settings)
    }

    /// The host to which letters to real merchants may travel unencrypted. A warning and no fault: a
    /// relay in the same private network is often reached without TLS, and its name does not tell.
    pub fn unencrypted_relay(&self) -> Option<&str> {
        let livemode = stripe::livemode_of_key(self.stripe.api_key.expose_secret());
        self.email.relay.unencrypted_host().filter(|_| livemode == Some(true))
    }
}

impl DatabaseOnly {
    /// Reads what concerns the database.
    pub fn load(file: Option<&Path>, env: &HashMap<String, String>) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let layers = Layers::read(file, env, &mut faults);
        let mut reader = Reader::new(&layers, faults);
        let settings = Self::read(&mut reader);
        reader.finish(settings)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (database, telemetry) = (reader.database(), reader.telemetry());
        Some(Self { database: database?, telemetry: telemetry? })
    }
}

impl ForReports {
    /// Reads what concerns reports.
    pub fn load(file: Option<&Path>, env: &HashMap<String, String>) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let layers = Layers::read(file, env, &mut faults);
        let mut reader = Reader::new(&layers, faults);
        let (database, copy) = (DatabaseOnly::read(&mut reader), reader.bcc());
        let settings = database.map(|database| Self { database, copy });
        reader.finish(settings)
    }
}
