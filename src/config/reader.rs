//! Turns values into settings, and collects what is wrong with them.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::layers::Layers;
use super::{Fault, Faults, Needs, Settings};
use crate::flow::email;
use crate::flow::{inbox, webhook};
use crate::http::body::MAX_BYTES;
use crate::mail::RelayUrl;
use crate::stripe::livemode_of_key;
use crate::web::feedback::ses::TopicArn;
use crate::web::{api, feedback, ops};
use crate::{database, http, queue, stripe, telemetry};

/// Below this a lease could run out while a busy machine is about to renew it.
const MIN_LEASE: Duration = Duration::from_secs(3);

pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) faults: Vec<Fault>,
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
        let (inbound, api) =
            (self.inbound(), self.api(email.as_ref().map(|email| &email.dashboard_url)));
        let portal = self.portal(email.as_ref());
        let (http, ops) =
            (self.http(), self.parsed("ops.listen", "an address like 127.0.0.1:9090"));
        let (telemetry, shutdown_grace) = (self.telemetry(), self.duration("shutdown.grace"));
        let reconcile_every = self.duration("reconcile.every");
        let summary_for = self.duration("capital.summary_max_age");
        let personal_data_for = self.maybe_duration("retention.personal_data");
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
            portal,
            api: api?,
            inbound: inbound?,
            queue: queue?,
            summary_for: summary_for?,
            personal_data_for: personal_data_for?,
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
        let (data_dir, start) =
            (self.text("database.data_dir"), self.duration("database.start_timeout"));
        let migrate_on_start = self.flag("database.migrate_on_start");
        let pooler = self.parsed("database.pooler", "auto or transaction");
        Some(database::Settings {
            url: (!url.is_empty()).then(|| SecretString::from(url)),
            data_dir: data_dir?.into(),
            max_connections: connections?,
            pooler: pooler?,
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
        let (version, pace) =
            (self.text("stripe.api_version"), self.number("stripe.requests_per_second", 1));
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
            self.fault(
                "webhook.secrets",
                "missing: set the signing secret of the endpoint, whsec_…",
            );
        }
        let tolerance = self.number("webhook.tolerance_seconds", 1);
        let (size, read_timeout) =
            (self.number("webhook.max_body_bytes", 1024), self.duration("webhook.read_timeout"));
        if size.is_some_and(|size: usize| size > MAX_BYTES) {
            self.fault("webhook.max_body_bytes", &format!("write {MAX_BYTES} or less"));
        }
        Some(webhook::Settings {
            secrets: secrets?,
            tolerance: Duration::from_secs(tolerance?),
            max_body_bytes: size?,
            read_timeout: read_timeout?,
        })
    }

    fn secrets(&mut self) -> Option<Vec<SecretString>> {
        let key = "webhook.secrets";
        let given = self.list(key, "whsec_…")?;
        let wrong = given.iter().enumerate().find_map(|(at, secret)| {
            let problem = match secret.strip_prefix("whsec_") {
                Some("") => {
                    "is `whsec_` with nothing behind it: copy the whole signing secret of the endpoint from Stripe's dashboard, \
                     or what `stripe listen` prints"
                }
                Some(_) => return None,
                None => "is not a signing secret: each begins with whsec_",
            };
            Some(format!("secret number {} {problem}", at + 1))
        });
        if let Some(problem) = wrong {
            self.fault(key, &problem);
            return None;
        }
        Some(given.into_iter().map(SecretString::from).collect())
    }

    fn inbound(&mut self) -> Option<feedback::Settings> {
        let key = "inbound.sns_topics";
        let given = self.list(key, "arn:aws:sns:eu-west-1:123456789012:letters")?;
        let topics: Result<Vec<TopicArn>, _> = given.iter().map(|topic| topic.parse()).collect();
        if let Err(error) = &topics {
            self.fault(key, &error.to_string());
        }
        let form = "the key that SendGrid shows, or nothing";
        let sendgrid_public_key = self.optional("inbound.sendgrid_public_key", form);
        Some(feedback::Settings { sns_topics: topics.ok()?, sendgrid_public_key })
    }

    /// Where nobody says what an Account Link is to come back to, it is the page that the letters link to.
    fn api(&mut self, dashboard_url: Option<&Url>) -> Option<api::Settings> {
        let (refresh_url, return_url) = (
            self.url_to_come_back_to("capital.refresh_url"),
            self.url_to_come_back_to("capital.return_url"),
        );
        let or_dashboard = |url: Option<Url>| url.or_else(|| dashboard_url.cloned());
        let requests_per_second = self.number("api.requests_per_second", 0);
        Some(api::Settings {
            refresh_url: or_dashboard(refresh_url)?,
            return_url: or_dashboard(return_url)?,
            requests_per_second: requests_per_second?,
        })
    }

    /// None where there is none, and where it is wrong, which is told as a fault.
    fn url_to_come_back_to(&mut self, key: &str) -> Option<Url> {
        let form = "an https:// address, or nothing";
        let url: Url = self.optional(key, form)?;
        if !api::is_fit_to_come_back_to(&url) {
            self.fault(key, &format!("a merchant is sent there: write {form}"));
            return None;
        }
        Some(url)
    }

    fn inbox(&mut self) -> Option<inbox::Settings> {
        let (batch_size, poll_interval) =
            (self.number("inbox.batch_size", 1), self.duration("queue.poll_interval"));
        Some(inbox::Settings { batch_size: batch_size?, poll_interval: poll_interval? })
    }

    fn queue(&mut self) -> Option<queue::Settings> {
        let lease = self.duration("queue.lease");
        if lease.is_some_and(|lease| lease < MIN_LEASE) {
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
        let listen: Option<SocketAddr> =
            self.parsed("http.listen", "an address like 127.0.0.1:8080");
        let (header, write) =
            (self.duration("http.header_timeout"), self.duration("http.write_timeout"));
        let max_connections = self.number("http.max_connections", 1);
        let limits = http::Limits {
            header_timeout: header?,
            write_timeout: write?,
            max_connections: max_connections?,
        };
        Some(http::Settings { listen: listen?, limits })
    }

    /// Names that are promised and not in use yet: a deployment may set them, and hears of mistakes already.
    fn reserved(&mut self) {
        for key in ["ops.token", "telemetry.otlp_endpoint"] {
            self.text(key);
        }
    }

    /// What is fine for trying out, and is not with real merchants.
    fn check_live(&mut self, stripe: &stripe::Settings, email: &email::Settings) {
        use secrecy::ExposeSecret;
        if livemode_of_key(stripe.api_key.expose_secret()) != Some(true) {
            return;
        }
        if matches!(email.relay, RelayUrl::File(_)) {
            self.fault(
                "email.relay_url",
                "a live key needs a relay: letters kept as files reach nobody",
            );
        }
        if self.text("http.public_url").is_some_and(|url| url.starts_with("http:")) {
            self.fault("http.public_url", "a live key needs an https:// address");
        }
        let stripe_host = stripe.api_base.host_str().unwrap_or_default();
        let stripe_host = stripe_host.trim_start_matches('[').trim_end_matches(']');
        if stripe.api_base.scheme() != "https" && !crate::http::is_loopback(stripe_host) {
            self.fault(
                "stripe.api_base",
                "a live key needs an https:// address: the key is sent there",
            );
        }
        if email.dashboard_url.scheme() != "https" {
            self.fault("capital.dashboard_url", "a live key needs an https:// address");
        }
    }
}
