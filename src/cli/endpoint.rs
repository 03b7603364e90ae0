//! `endpoint`: the webhook endpoint that is registered at Stripe.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use secrecy::ExposeSecret;
use serde_json::json;
use url::Url;

use crate::checks::endpoint::{self, EnsuredEndpoint};
use crate::cli::doctor::{exit_code, print_checks};
use crate::cli::out::{self, say};
use crate::clock::Clock;
use crate::config::{EndpointSettings, environment};
use crate::queue::Circuit;
use crate::stripe::{Client, Error};
use crate::telemetry;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Check the webhook endpoint at Stripe: URL, event types, status, API version; exit 1 if it
    /// must be changed
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create the webhook endpoint at Stripe and print its signing secret; enable an existing one
    /// and add the event types that it lacks
    ///
    /// Changes no other endpoint and deletes nothing. A second run changes nothing. Stripe shows
    /// the secret only when the endpoint is created.
    Ensure {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

const STORE_SECRET: &str = "\
Set STRIPE_WEBHOOK_SECRET to this secret and restart. It is not shown again; the Dashboard reveals
it. While another secret is still in use, set both: STRIPE_WEBHOOK_SECRET=<new>,<old>";

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    let settings = EndpointSettings::load(config, &environment())?;
    telemetry::init(&settings.telemetry);
    let public_url = settings.public_url.context(
        "http.public_url is not set: set COURIER_HTTP__PUBLIC_URL to the public https:// address \
         of http.listen. In test mode, `stripe listen` needs no endpoint",
    )?;
    let url = endpoint::webhook_url(&public_url);
    let clock = Clock::system();
    let circuit = Circuit::new("stripe", clock.clone());
    let stripe = Client::new(settings.stripe, circuit, clock)?;
    match action {
        Action::Check { json } => check(&stripe, &url, json).await,
        Action::Ensure { json } => ensure(&stripe, &url, json).await,
    }
}

async fn check(stripe: &Client, url: &Url, json: bool) -> anyhow::Result<ExitCode> {
    let registered = stripe.webhook_endpoints().await;
    let registered = registered.map_err(explain).context("cannot read the webhook endpoints")?;
    let checks = endpoint::judge(&registered, url, stripe.api_version());
    out::ignore_closed(print_checks(&checks, json))?;
    Ok(exit_code(&checks))
}

async fn ensure(stripe: &Client, url: &Url, json: bool) -> anyhow::Result<ExitCode> {
    let ensured = endpoint::ensure(stripe, url).await;
    let ensured = ensured.map_err(explain).context(
        "cannot make the webhook endpoint right; it can be registered at \
         https://dashboard.stripe.com/webhooks, too",
    )?;
    // Before anything else can fail: Stripe does not show the secret again.
    print_ensured(&ensured, url, json)?;
    let registered = stripe.webhook_endpoints().await.map_err(explain)?;
    let checks = endpoint::judge(&registered, url, stripe.api_version());
    if !json {
        out::ignore_closed(print_checks(&checks, false))?;
    }
    Ok(exit_code(&checks))
}

/// Adds Stripe's own explanation, and what to do if the key is at fault.
fn explain(error: Error) -> anyhow::Error {
    let message = error.message().map(str::to_owned);
    let advice = if error.is_wrong_key() {
        error.key_problem().map(str::to_owned)
    } else if error.lacks_permission() {
        Some("let the key read and write webhook endpoints, or use another key once".to_owned())
    } else {
        None
    };
    let error = anyhow::Error::from(error);
    match advice.or(message) {
        Some(text) => error.context(text),
        None => error,
    }
}

fn print_ensured(ensured: &EnsuredEndpoint, url: &Url, json: bool) -> anyhow::Result<()> {
    let id = &ensured.endpoint().id;
    if json {
        let (outcome, secret) = match ensured {
            EnsuredEndpoint::Created(created) => ("created", Some(created.secret.expose_secret())),
            EnsuredEndpoint::Updated { .. } => ("updated", None),
            EnsuredEndpoint::Unchanged(_) => ("unchanged", None),
        };
        let mut printed = json!({ "outcome": outcome, "endpoint_id": id, "url": url });
        if let Some(secret) = secret {
            printed["secret"] = json!(secret);
        }
        return out::json(&printed);
    }
    match ensured {
        EnsuredEndpoint::Created(created) => {
            say!("created {id} for {url}")?;
            say!("")?;
            say!("{}", created.secret.expose_secret())?;
            say!("")?;
            for line in STORE_SECRET.lines() {
                say!("{line}")?;
            }
            say!("")?;
        }
        EnsuredEndpoint::Updated { was_disabled, added, .. } => {
            let enabled = if *was_disabled { ": enabled" } else { "" };
            say!("updated {id}{enabled}")?;
            for event in added {
                say!("  added {event}")?;
            }
        }
        EnsuredEndpoint::Unchanged(_) => say!("{id} is right already: nothing was changed")?,
    }
    Ok(())
}
