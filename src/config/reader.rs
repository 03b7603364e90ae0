//! Turns values into settings, and collects what is wrong with them.

mod sending;

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use toml::Value;
use url::Url;

use super::layers::{Entry, Layers, Origin, SECRETS, variable};
use super::{Fault, Faults, Needs, Settings};
use crate::flow::email::opt_out::Links;
use crate::flow::email::{self, Cadence, Mailbox, RelayUrl};
use crate::flow::{inbox, webhook};
use crate::stripe::livemode_of_key;
use crate::{database, http, ops, queue, stripe, telemetry};

/// Below this a lease could run out while a busy machine is about to renew it.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

pub(super) struct Reader<'a> {
    layers: &'a Layers,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers, faults: Vec<Fault>) -> Self {
        Self { layers, faults }
    }

    /// The settings, if nothing was wrong.
    pub(super) fn finish<T>(self, settings: Option<T>) -> Result<T, Faults> {
        match settings {
            Some(settings) if self.faults.is_empty() => Ok(settings),
            Some(_) | None => Err(Faults(self.faults)),
        }
    }

    /// Every part is read before any is missed, so that all faults come at once.
    pub(super) fn settings(&mut self, needs: Needs) -> Option<Settings> {
        let (database, stripe, webhook) = (self.database(), self.stripe(), self.webhook(needs));
        let (inbox, email, queue) = (self.inbox(), self.email(), self.queue());
        let (http, ops) = (self.http(), self.parsed("ops.listen", "an address like 127.0.0.1:9090"));
        let (telemetry, shutdown_grace) = (self.telemetry(), self.duration("shutdown.grace"));
        let reconcile_every = self.duration("reconcile.every");
        self.reserved();
        if let (Some(stripe), Some(email)) = (&stripe, &email) {
            self.check_live(stripe, email);
        }
        Some(Settings {
            database: database?,
            stripe: stripe?,
            webhook: webhook?,
            inbox: inbox?,
            email: email?,
            queue: queue?,
            reconcile_every: reconcile_every?,
            http: http?,
            ops: ops::Settings { listen: ops? },
            telemetry: telemetry?,
            shutdown_grace: shutdown_grace?,
        })
    }

    pub(super) fn database(&mut self) -> Option<database::Settings> {
        let url = self.text("database.url")?;
        let (connections, acquire) =
            (self.number("database.max_connections", 1), self.duration("database.acquire_timeout"));
        let (data_dir, start) = (self.text("database.data_dir"), self.duration("database.start_timeout"));
        let migrate_on_start = self.flag("database.migrate_on_start");
        Some(database::Settings {
            url: (!url.is_empty()).then(|| SecretString::from(url)),
            data_dir: data_dir?.into(),
            max_connections: connections?,
            acquire_timeout: acquire?,
            start_timeout: start?,
            migrate_on_start: migrate_on_start?,
        })
    }

    pub(super) fn telemetry(&mut self) -> Option<telemetry::Settings> {
        let filter = self.parsed("telemetry.filter", "a filter like info,sqlx=warn");
        let format = self.parsed("telemetry.format", "auto, json or pretty");
        Some(telemetry::Settings { filter: filter?, format: format? })
    }

    fn stripe(&mut self) -> Option<stripe::Settings> {
        let api_key = self.required("stripe.api_key", "the platform's secret or restricted key");
        if let Some(key) = &api_key
            && livemode_of_key(key).is_none()
        {
            self.fault(
                "stripe.api_key",
                "not a Stripe key that says its mode: sk_test_…, rk_test_…, sk_live_… or rk_live_…",
            );
        }
        let api_base = self.url("stripe.api_base");
        let (version, pace) = (self.text("stripe.api_version"), self.number("stripe.requests_per_second", 1));
        let timeout = self.duration("stripe.timeout");
        Some(stripe::Settings {
            api_key: api_key?.into(),
            api_base: api_base?,
            api_version: version?,
            requests_per_second: pace?,
            timeout: timeout?,
        })
    }

    fn webhook(&mut self, needs: Needs) -> Option<webhook::Settings> {
        let secrets = self.secrets();
        if needs == Needs::Webhooks && secrets.as_ref().is_some_and(Vec::is_empty) {
            self.fault("webhook.secrets", "missing: set the signing secret of the endpoint, whsec_…");
        }
        let tolerance = self.number("webhook.tolerance_seconds", 1);
        let (size, read_timeout) =
            (self.number("webhook.max_body_bytes", 1024), self.duration("webhook.read_timeout"));
        Some(webhook::Settings {
            secrets: secrets?,
            tolerance: Duration::from_secs(tolerance?),
            max_body_bytes: size?,
            read_timeout: read_timeout?,
        })
    }

    /// A list in the file, or text with commas.
    fn secrets(&mut self) -> Option<Vec<SecretString>> {
        let key = "webhook.secrets";
        let given: Vec<String> = match &self.layers.get(key).value {
            Value::String(text) if text.trim().is_empty() => Vec::new(),
            Value::String(text) => text.split(',').map(|secret| secret.trim().to_owned()).collect(),
            Value::Array(all) => {
                all.iter().map(|one| one.as_str().unwrap_or_default().trim().to_owned()).collect()
            }
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Table(_) => {
                self.fault(key, "write whsec_…, or several separated by commas");
                return None;
            }
        };
        if let Some(bad) = given.iter().position(|secret| secret.len() <= 6 || !secret.starts_with("whsec_"))
        {
            self.fault(
                key,
                &format!("secret number {} is not a signing secret: each begins with whsec_", bad + 1),
            );
            return None;
        }
        Some(given.into_iter().map(SecretString::from).collect())
    }

    fn inbox(&mut self) -> Option<inbox::Settings> {
        let (batch_size, poll_interval) =
            (self.number("inbox.batch_size", 1), self.duration("queue.poll_interval"));
        Some(inbox::Settings { batch_size: batch_size?, poll_interval: poll_interval? })
    }

    fn email(&mut self) -> Option<email::Settings> {
        let form = "smtp://host:25, smtps://user:password@host, or file:DIR";
        let relay = self.required("email.relay_url", form).and_then(|_| self.parsed("email.relay_url", form));
        let mailbox = "an address like Capital <capital@example.com>";
        let from: Option<Mailbox> =
            self.required("email.from", mailbox).and_then(|_| self.parsed("email.from", mailbox));
        let reply_to: Option<Mailbox> = match self.text("email.reply_to") {
            Some(text) if !text.is_empty() => self.parsed("email.reply_to", mailbox),
            Some(_) | None => from.clone(),
        };
        let bcc = match self.text("email.bcc") {
            Some(text) if !text.is_empty() => self.parsed("email.bcc", "an address, or nothing").map(Some),
            Some(_) => Some(None),
            None => None,
        };
        let postal_address =
            self.required("email.postal_address", "street and city: the law wants it in the footer");
        let program_name = self.required("capital.program_name", "the name of your Capital program");
        let dashboard = self.required("capital.dashboard_url", "the page that the letter links to");
        let dashboard_url = dashboard.and_then(|_| self.url("capital.dashboard_url"));
        let when_uncertain = self.parsed("email.when_uncertain", "resend or hold");
        let links = self.links();
        let folder = |dir: Option<String>| dir.filter(|dir| !dir.is_empty()).map(Into::into);
        let disclaimers_dir = folder(self.text("email.disclaimers_dir"));
        let templates_dir = folder(self.text("email.templates_dir"));
        let locale_metadata_key = self.text("email.locale_metadata_key");
        let cadence = self.cadence();
        let (command, answer) =
            (self.duration("email.relay_timeout"), self.duration("email.relay_answer_timeout"));
        let allow = self.flag("email.allow_support_address");
        let (dkim, limits) = (self.dkim(from.as_ref()), self.limits());
        Some(email::Settings {
            relay: relay?,
            timeouts: email::Timeouts { command: command?, answer: answer? },
            from: from?,
            reply_to: reply_to?,
            bcc: bcc?,
            postal_address: postal_address?,
            program_name: program_name?,
            dashboard_url: dashboard_url?,
            dkim,
            limits: limits?,
            when_uncertain: when_uncertain?,
            links,
            templates_dir,
            disclaimers_dir,
            locale_metadata_key: locale_metadata_key?,
            cadence: cadence?,
            allow_support_address: allow?,
        })
    }

    fn cadence(&mut self) -> Option<Cadence> {
        let (after_7_days, after_14_days, every_30_days) = (
            self.flag("reminders.after_7_days"),
            self.flag("reminders.after_14_days"),
            self.flag("reminders.every_30_days"),
        );
        let hours = self.parsed("reminders.hours", "two hours like 9-17");
        let weekdays = self.parsed("reminders.weekdays", "days like mon,tue,wed,thu,fri");
        Some(Cadence {
            after_7_days: after_7_days?,
            after_14_days: after_14_days?,
            every_30_days: every_30_days?,
            hours: hours?,
            weekdays: weekdays?,
        })
    }

    /// The link in the letters needs an address that the public reaches, and something to sign it with. None where there is no
    /// such address, and where something is wrong, which is told as a fault.
    fn links(&mut self) -> Option<Links> {
        const LEAST: usize = 32;
        let secret = self.text("portal.token_secret")?;
        if !secret.is_empty() && secret.len() < LEAST {
            self.fault("portal.token_secret", "at least 32 characters, by chance: openssl rand -hex 32");
        }
        if self.text("http.public_url")?.is_empty() {
            return None;
        }
        let public_url = self.url("http.public_url")?;
        if secret.is_empty() {
            self.fault("portal.token_secret", "missing: the links in the letters are signed with it");
        }
        (secret.len() >= LEAST).then(|| Links::new(&secret.into(), public_url))
    }

    fn queue(&mut self) -> Option<queue::Settings> {
        let lease = self.duration("queue.lease");
        if lease.is_some_and(|lease| lease < SHORTEST_LEASE) {
            self.fault("queue.lease", "at least 3s: a claim is renewed after each third of it");
        }
        let (poll_interval, concurrency) =
            (self.duration("queue.poll_interval"), self.number("delivery.concurrency", 1));
        let max_attempts = self.number("queue.max_attempts", 1);
        Some(queue::Settings {
            lease: lease?,
            poll_interval: poll_interval?,
            concurrency: concurrency?,
            max_attempts: max_attempts?,
        })
    }

    fn http(&mut self) -> Option<http::Settings> {
        let listen: Option<SocketAddr> = self.parsed("http.listen", "an address like 127.0.0.1:8080");
        let header_timeout = self.duration("http.header_timeout");
        Some(http::Settings { listen: listen?, header_timeout: header_timeout? })
    }

    /// Names that are promised and not in use yet: a deployment may set them, and hears of mistakes already.
    fn reserved(&mut self) {
        for key in ["ops.token", "telemetry.otlp_endpoint"] {
            self.text(key);
        }
        for key in ["capital.refresh_url", "capital.return_url"] {
            if self.text(key).is_some_and(|url| !url.is_empty()) {
                self.url(key);
            }
        }
    }

    /// What is fine for trying out, and is not with real merchants.
    fn check_live(&mut self, stripe: &stripe::Settings, email: &email::Settings) {
        use secrecy::ExposeSecret;
        if livemode_of_key(stripe.api_key.expose_secret()) != Some(true) {
            return;
        }
        if matches!(email.relay, RelayUrl::File(_)) {
            self.fault("email.relay_url", "a live key needs a relay: letters kept as files reach nobody");
        }
        if self.text("http.public_url").is_some_and(|url| url.starts_with("http:")) {
            self.fault("http.public_url", "a live key needs an https:// address");
        }
        if email.dashboard_url.scheme() != "https" {
            self.fault("capital.dashboard_url", "a live key needs an https:// address");
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let Some(text) = self.entry(key).value.as_str() else {
            self.fault(key, "write it as text, in quotes");
            return None;
        };
        Some(text.trim().to_owned())
    }

    fn required(&mut self, key: &str, what: &str) -> Option<String> {
        let text = self.text(key)?;
        if text.is_empty() {
            self.fault(key, &format!("missing: set {what}"));
            return None;
        }
        Some(text)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str, form: &str) -> Option<T> {
        match self.text(key)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(key, &format!("{error}; write {form}"));
                None
            }
        }
    }

    fn url(&mut self, key: &str) -> Option<Url> {
        let url: Url = self.parsed(key, "an address like https://example.com/capital")?;
        if url.host_str().is_none() || !matches!(url.scheme(), "http" | "https") {
            self.fault(key, "write an address like https://example.com/capital");
            return None;
        }
        Some(url)
    }

    fn duration(&mut self, key: &str) -> Option<Duration> {
        let form = "a duration like 500ms, 3s, 5m or 24h";
        let duration: humantime::Duration = self.parsed(key, form)?;
        if duration.is_zero() {
            self.fault(key, &format!("more than nothing: {form}"));
            return None;
        }
        Some(*duration)
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        let flag = self.entry(key).value.as_bool();
        if flag.is_none() {
            self.fault(key, "write true or false");
        }
        flag
    }

    fn number<T: TryFrom<i64>>(&mut self, key: &str, least: i64) -> Option<T> {
        let number = self.entry(key).value.as_integer().filter(|number| *number >= least);
        let number = number.and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.fault(key, &format!("write a whole number, {least} or more"));
        }
        number
    }

    fn entry(&self, key: &str) -> &'a Entry {
        self.layers.get(key)
    }

    /// Names the place to mend, and the value unless it is a secret.
    fn fault(&mut self, key: &str, problem: &str) {
        let entry = self.entry(key);
        let place = match &entry.origin {
            Origin::Default => format!("{key} ({})", variable(key)),
            origin @ (Origin::File(_) | Origin::Variable(_)) => format!("{key} (from {origin})"),
        };
        let empty = entry.value.as_str().is_some_and(str::is_empty);
        let shown = if empty || SECRETS.contains(&key) {
            String::new()
        } else {
            format!(
                "{}: ",
                entry.value.as_str().map_or_else(|| entry.value.to_string(), |text| format!("{text:?}"))
            )
        };
        self.faults.push(Fault::new(&place, format!("{shown}{problem}")));
    }
}
