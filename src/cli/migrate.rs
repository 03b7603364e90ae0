//! `migrate`: apply the migrations.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::out;
use crate::config::{DatabaseOnly, environment};
use crate::{MIGRATOR, database, telemetry};

pub(super) async fn run(config: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let mut settings = DatabaseOnly::load(config, &environment())?;
    telemetry::init(&settings.telemetry);
    settings.database.migrate_on_start = true;
    let database = database::open(&settings.database).await?;
    database.close().await;
    let migrations = MIGRATOR.iter().count();
    out::outcome(
        json,
        &serde_json::json!({"schema": "current", "migrations": migrations}),
        format_args!("the schema is current: {migrations} migrations"),
    )?;
    Ok(ExitCode::SUCCESS)
}
