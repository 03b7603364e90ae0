//! `migrate`: apply the migrations.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::out::say;
use crate::config::{DatabaseOnly, environment};
use crate::{MIGRATOR, database, telemetry};

pub(super) async fn run(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut settings = DatabaseOnly::load(config, &environment())?;
    telemetry::init(&settings.telemetry);
    settings.database.migrate_on_start = true;
    let database = database::open(&settings.database).await?;
    say!("the schema is current: {} migrations", MIGRATOR.iter().count())?;
    database.close().await;
    Ok(ExitCode::SUCCESS)
}
