//! `serve` and `worker`.

use std::path::Path;
use std::process::ExitCode;

use crate::app::{self, Role};
use crate::config::{Requirement, Settings, environment};
use crate::http;
use crate::telemetry::{self, chain, traces};

pub(super) async fn serve(config: Option<&Path>, no_worker: bool) -> anyhow::Result<ExitCode> {
    let role = if no_worker { Role::ServeWithoutWorker } else { Role::Serve };
    start(config, Requirement::WebhookSecret, role).await
}

pub(super) async fn work(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    start(config, Requirement::None, Role::Worker).await
}

async fn start(
    config: Option<&Path>,
    requirement: Requirement,
    role: Role,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, &environment(), requirement)?;
    telemetry::init(&settings.telemetry);
    start_traces(&settings.telemetry);
    if let Some(host) = settings.unencrypted_relay() {
        tracing::warn!(
            relay.host = host,
            "emails to merchants may reach the relay unencrypted: use smtps:// or ?tls=required in \
             SMTP_URL, unless the network to the relay is private"
        );
    }
    Box::pin(app::run(settings, role)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Starts without traces if the exporter cannot be built: emails matter more.
fn start_traces(settings: &telemetry::Settings) {
    let Some(endpoint) = &settings.otlp_endpoint else { return };
    let client = http::client::builder(traces::EXPORT_TIMEOUT).build();
    let started =
        client.map_err(anyhow::Error::from).and_then(|client| Ok(traces::start(endpoint, client)?));
    match started {
        Ok(()) => tracing::info!(collector = endpoint.host_str(), "exporting traces"),
        Err(error) => tracing::error!(error = chain(error.as_ref()), "cannot export traces"),
    }
}
