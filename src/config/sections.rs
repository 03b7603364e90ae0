//! The settings of every part except the letters (see [`email`](super::email)).

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::reader::{self, Reader, from_str};
use super::{DatabaseOnly, Requirement, Settings};
use crate::flow::email;
use crate::flow::{inbox, webhook};
use crate::http::body::MAX_BYTES;
use crate::mail::RelayUrl;
use crate::stripe::livemode_of_key;
use crate::web::portal::{self, Keys};
use crate::web::{api, console, feedback, ops};
use crate::{database, http, queue, stripe, telemetry};

/// A worker renews its lease after a third of it. A third below one second is too short for a busy
/// machine.
const MIN_LEASE: Duration = Duration::from_secs(3);

const DATABASE_SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
const NOT_POSTGRES: &str =
    "not a Postgres URL: must have the form postgres://user:password@host:5432/name";

/// A shorter token of the console could be guessed.
const MIN_TOKEN_BYTES: usize = 16;

impl Reader {
    pub(super) fn settings(&mut self, requirement: Requirement) -> Settings {
        let email = self.email();
        let settings = Settings {
            database: self.database(),
            stripe: self.stripe(),
            relay: self.relay(),
            webhook: self.webhook(requirement),
            inbox: self.inbox(),
            portal: self.portal(&email),
            api: self.api(&email.brand.dashboard_url),
            email,
            inbound: self.inbound(),
            queue: self.queue(),
            summary_for: self.duration("capital.summary_max_age"),
            personal_data_for: self
                .non_empty("retention.personal_data")
                .map(|_| self.duration("retention.personal_data")),
            reconcile_every: self.duration("reconcile.every"),
            http: self.http(),
            public_url: self.optional_url("http.public_url"),
            ops: ops::Settings { listen: self.listen("ops.listen", "127.0.0.1:9090") },
            console: self.console(),
            telemetry: self.telemetry(),
            shutdown_grace: self.duration("shutdown.grace"),
        };
        if cfg!(not(feature = "demo")) && settings.database.url.is_none() {
            self.error("database.url", "missing: postgres://user:password@host:5432/name");
        }
        if livemode_of_key(settings.stripe.api_key.expose_secret()) == Some(true) {
            self.check_live(&settings);
        }
        settings
    }

    pub(super) fn database_only(&mut self) -> DatabaseOnly {
        DatabaseOnly { database: self.database(), telemetry: self.telemetry() }
    }

    pub(super) fn database(&mut self) -> database::Settings {
        database::Settings {
            url: self.database_url(),
            data_dir: self.text("database.data_dir").into(),
            max_connections: self.number("database.max_connections", 1),
            pooler: self.parsed("database.pooler", "auto"),
            acquire_timeout: self.duration("database.acquire_timeout"),
            start_timeout: self.duration("database.start_timeout"),
            migrate_on_start: self.flag("database.migrate_on_start"),
        }
    }

    /// Not parsed whole: the driver does that, and its errors could show the password.
    fn database_url(&mut self) -> Option<SecretString> {
        let url = self.non_empty("database.url")?;
        if !DATABASE_SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            self.error("database.url", NOT_POSTGRES);
        }
        Some(url.into())
    }

    pub(super) fn telemetry(&mut self) -> telemetry::Settings {
        telemetry::Settings {
            filter: self.parsed("telemetry.filter", "info,sqlx=warn"),
            format: self.parsed("telemetry.format", "auto"),
            otlp_endpoint: self.optional_url("telemetry.otlp_endpoint"),
        }
    }

    pub(super) fn stripe(&mut self) -> stripe::Settings {
        let api_key = self.parsed_by("stripe.api_key", "sk_test_…", |key| {
            // The prefix tells test from live mode.
            match (livemode_of_key(key), key.splitn(3, '_').nth(2)) {
                (Some(_), Some("")) => Err("nothing follows the prefix: copy the whole key from \
                                            Stripe's Dashboard"
                    .to_owned()),
                (Some(_), _) => Ok(key.into()),
                (None, _) => Err("not a Stripe key: must start with sk_test_, rk_test_, sk_live_ \
                                  or rk_live_"
                    .to_owned()),
            }
        });
        stripe::Settings {
            api_key,
            api_base: self.url("stripe.api_base"),
            api_version: self.text("stripe.api_version"),
            embedded_version: self.text("stripe.embedded_version"),
            requests_per_second: self.number("stripe.requests_per_second", 1),
            timeout: self.duration("stripe.timeout"),
        }
    }

    pub(super) fn webhook(&mut self, requirement: Requirement) -> webhook::Settings {
        let key = "webhook.secrets";
        let secrets = self.list(key, |secret| match secret.strip_prefix("whsec_") {
            None => Err("not a signing secret: must start with whsec_".to_owned()),
            Some("") => {
                Err("nothing follows `whsec_`: copy the whole signing secret from Stripe's \
                 Dashboard or from the output of `stripe listen`"
                    .to_owned())
            }
            Some(_) => Ok(SecretString::from(secret)),
        });
        if requirement == Requirement::WebhookSecret && secrets.is_empty() {
            self.error(key, "missing: the signing secret of the webhook endpoint (whsec_…)");
        }
        let max_body_bytes = self.number("webhook.max_body_bytes", 1024);
        if max_body_bytes > MAX_BYTES {
            self.error("webhook.max_body_bytes", &format!("must be {MAX_BYTES} or less"));
        }
        webhook::Settings {
            secrets,
            tolerance: Duration::from_secs(self.number("webhook.tolerance_seconds", 1)),
            max_body_bytes,
            read_timeout: self.duration("webhook.read_timeout"),
        }
    }

    fn inbox(&mut self) -> inbox::Settings {
        inbox::Settings {
            batch_size: self.number("inbox.batch_size", 1),
            poll_interval: self.duration("queue.poll_interval"),
        }
    }

    fn queue(&mut self) -> queue::Settings {
        let lease = self.duration("queue.lease");
        if lease < MIN_LEASE {
            self.error("queue.lease", "must be 3s or more: a worker renews it after a third");
        }
        queue::Settings {
            lease,
            poll_interval: self.duration("queue.poll_interval"),
            concurrency: self.number("delivery.concurrency", 1),
            max_attempts: self.number("queue.max_attempts", 1),
        }
    }

    fn http(&mut self) -> http::Settings {
        let limits = http::ConnectionLimits {
            header_timeout: self.duration("http.header_timeout"),
            write_timeout: self.duration("http.write_timeout"),
            max_connections: self.number("http.max_connections", 1),
        };
        http::Settings { listen: self.listen("http.listen", "127.0.0.1:8080"), limits }
    }

    fn console(&mut self) -> Option<console::Settings> {
        let token = self.console_token("ops.token");
        let read_only_token = self.console_token("ops.read_only_token");
        let user_header = self.optional("ops.user_header", "X-Forwarded-User");
        let both = token.as_ref().zip(read_only_token.as_ref());
        if both.is_some_and(|(one, other)| one.expose_secret() == other.expose_secret()) {
            self.error("ops.read_only_token", "must differ from ops.token");
        }
        if user_header.is_some() && token.is_none() && read_only_token.is_none() {
            self.error("ops.user_header", "requires ops.token or ops.read_only_token");
        }
        token.as_ref().or(read_only_token.as_ref())?;
        let in_force = self.in_force();
        Some(console::Settings { token, read_only_token, user_header, in_force })
    }

    fn console_token(&mut self, key: &'static str) -> Option<SecretString> {
        let token = self.non_empty(key)?;
        if token.len() < MIN_TOKEN_BYTES {
            let problem = format!(
                "must have {MIN_TOKEN_BYTES} characters or more: make one with \
                 `openssl rand -hex 32`"
            );
            self.error(key, &problem);
        }
        Some(token.into())
    }

    fn api(&mut self, dashboard_url: &Url) -> api::Settings {
        let refresh_url = self.account_link_url("capital.refresh_url");
        let return_url = self.account_link_url("capital.return_url");
        api::Settings {
            refresh_url: refresh_url.unwrap_or_else(|| dashboard_url.clone()),
            return_url: return_url.unwrap_or_else(|| dashboard_url.clone()),
            requests_per_second: self.number("api.requests_per_second", 0),
        }
    }

    /// Where Stripe sends a merchant back to.
    fn account_link_url(&mut self, key: &'static str) -> Option<Url> {
        let url = self.optional_url(key)?;
        if !api::is_valid_return_url(&url) {
            self.error(key, "must be an https:// address: Stripe sends merchants there");
        }
        Some(url)
    }

    fn inbound(&mut self) -> feedback::Settings {
        feedback::Settings {
            sns_topics: self.list("inbound.sns_topics", from_str),
            sendgrid_public_key: self.optional("inbound.sendgrid_public_key", "MFkwEwYHKoZIzj0…"),
        }
    }

    fn portal(&mut self, email: &email::Settings) -> Option<portal::Settings> {
        let audience = self.parsed::<String>("portal.token_audience", "capital-courier");
        let keys = self.token_keys(&audience);
        let settings = portal::Settings {
            session: self.duration("portal.session"),
            marks_delivered: self.flag("portal.marks_delivered"),
            frame_ancestors: self.list("portal.frame_ancestors", origin),
            refresh_url: self.account_link_url("capital.refresh_url"),
            return_url: self.account_link_url("capital.return_url"),
            locale_metadata_key: email.locale_metadata_key.clone(),
            contacts: email.contacts.clone(),
            brand: (*email.brand).clone(),
            public_url: self.optional_url("http.public_url")?,
            keys: keys?,
        };
        Some(settings)
    }

    /// A public key takes precedence over the secret.
    fn token_keys(&mut self, audience: &str) -> Option<Keys> {
        let secret = self.non_empty("portal.token_secret");
        let Some(pem) = self.non_empty("portal.token_public_key") else {
            return secret.map(|secret| Keys::shared(&secret.into(), audience));
        };
        Keys::public(&pem, audience)
            .map_err(|error| self.error("portal.token_public_key", &error.to_string()))
            .ok()
    }

    /// Refuses with a live key what is acceptable only in test mode.
    fn check_live(&mut self, settings: &Settings) {
        if matches!(settings.relay.url, RelayUrl::File(_)) {
            self.error("email.relay_url", "a live key requires a relay: files reach no merchant");
        }
        if self.text("http.public_url").is_empty() {
            self.error(
                "http.public_url",
                "missing: a live key requires it, because emails to merchants need an unsubscribe \
                 link. Set it to the public https:// address of http.listen",
            );
        } else if self.optional_url("http.public_url").is_some_and(|url| url.scheme() != "https") {
            self.error("http.public_url", "a live key requires an https:// address");
        }
        let base = &settings.stripe.api_base;
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if base.scheme() != "https" && !http::is_loopback(host) {
            self.error("stripe.api_base", "a live key must not be sent without TLS: use https://");
        }
        let brand = &settings.email.brand;
        for (key, url) in [
            ("capital.dashboard_url", Some(&brand.dashboard_url)),
            ("brand.logo_url", brand.logo_url.as_ref()),
            ("brand.logo_dark_url", brand.logo_dark_url.as_ref()),
        ] {
            if url.is_some_and(|url| url.scheme() != "https") {
                self.error(key, "a live key requires an https:// address");
            }
        }
    }
}

/// An origin: a scheme, a host and a port. A host that begins with `*.` stands for its subdomains.
fn origin(text: &str) -> Result<Url, String> {
    let remedy = || {
        "write an origin such as https://dashboard.example.com or https://*.example.com".to_owned()
    };
    let url = Url::parse(text).map_err(|_| remedy())?;
    let is_web = matches!(url.scheme(), "https" | "http") && url.username().is_empty();
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    // `*` alone would let every site frame the section.
    let of_subdomains = url.host_str().and_then(|host| host.strip_prefix("*."));
    let is_host = of_subdomains.map_or_else(
        || reader::has_plain_host(&url),
        |parent| parent.contains('.') && reader::is_plain_host(parent),
    );
    if is_web && is_bare && is_host { Ok(url) } else { Err(remedy()) }
}
