//! `migrate`: apply the migrations.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::out::say;
use crate::config::{DatabaseOnly, environment};
use crate::flow::inbox;
use crate::{MIGRATOR, database, telemetry};

pub(super) async fn run(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut settings = DatabaseOnly::load(config, &environment())?;
    telemetry::init(&settings.telemetry);
    settings.database.migrate_on_start = true;
    let database = database::open(&settings.database).await?;
    // As the owner, whatever the role of the service may do.
    let now = database::now(&database.pool).await?;
    inbox::bodies::create_partitions(&database.pool, now).await?;
    say!("the schema is current: {} migrations", MIGRATOR.iter().count())?;
    database.close().await;
    Ok(ExitCode::SUCCESS)
}
