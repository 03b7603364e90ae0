//! `serve` and `worker`.

use std::path::Path;
use std::process::ExitCode;

use crate::app::{self, Role};
use crate::config::{Needs, Settings, environment};
use crate::telemetry;

pub(super) async fn serve(config: Option<&Path>, no_worker: bool) -> anyhow::Result<ExitCode> {
    let role = if no_worker { Role::ServeWithoutWorker } else { Role::Serve };
    start(config, Needs::Webhooks, role).await
}

pub(super) async fn work(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    start(config, Needs::WorkOnly, Role::Worker).await
}

async fn start(config: Option<&Path>, needs: Needs, role: Role) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, &environment(), needs)?;
    telemetry::init(&settings.telemetry);
    if let Some(host) = settings.unencrypted_relay() {
        tracing::warn!(
            relay.host = host,
            "letters to real merchants may travel unencrypted to the relay: use smtps:// or ?tls=required in \
             SMTP_URL, unless the network up to the relay is private"
        );
    }
    Box::pin(app::run(settings, role)).await?;
    Ok(ExitCode::SUCCESS)
}
