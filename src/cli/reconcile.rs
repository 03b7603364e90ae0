//! `reconcile`: compares with Stripe now. Running workers process what it finds.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::app::App;
use crate::cli::out::{self, say};
use crate::clock::Clock;
use crate::config::{Requirement, Settings, environment};
use crate::maintenance::reconcile::store;
use crate::telemetry;

pub(super) async fn run(config: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, &environment(), Requirement::None)?;
    telemetry::init(&settings.telemetry);
    let clock = Clock::system();
    let app = App::open(settings, clock.clone()).await?;
    let ran = app.reconcile_now().await.context("cannot start the reconciliation")?;
    let newest = store::newest(app.db(), clock.now()).await?;
    app.close().await;
    ensure!(ran, "another process is reconciling: see the table reconcile_runs");
    let run = newest.context("the reconciliation left no record")?;
    out::ignore_closed(print(&run, json))?;
    Ok(ExitCode::from(u8::from(run.state != "complete")))
}

fn print(run: &store::Run, json: bool) -> anyhow::Result<()> {
    if json {
        return out::json(run);
    }
    say!("{}", run.state)?;
    say!("  offers   {} undelivered at Stripe, {} new", run.offers_seen, run.offers_new)?;
    say!("  events   {} without a successful webhook, {} new", run.events_seen, run.events_new)?;
    say!("  checks   {} offers that are not undelivered at Stripe", run.offers_refreshed)?;
    if run.unreadable > 0 {
        say!("  skipped  {} entries that cannot be read: see the log", run.unreadable)?;
    }
    if let Some(error) = &run.error {
        say!("  ERROR    {error}")?;
    }
    Ok(())
}
