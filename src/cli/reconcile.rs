//! `reconcile`: asks Stripe what never reached us, now. The work itself is done by whatever process works.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

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
    let ran = app.reconcile_now().await.context("cannot begin")?;
    let newest = store::newest(app.db(), clock.now()).await?;
    app.close().await;
    if !ran {
        anyhow::bail!("another process is at it; see the table reconcile_runs");
    }
    let run = newest.context("the run left no trace")?;
    out::as_far_as_read(print(&run, json))?;
    Ok(ExitCode::from(u8::from(run.state != "complete")))
}

fn print(run: &store::Run, json: bool) -> anyhow::Result<()> {
    if json {
        return out::json(run);
    }
    say!("{}", run.state)?;
    say!("  offers   {} undelivered at Stripe, {} new to us", run.offers_seen, run.offers_new)?;
    say!("  events   {} that reached nobody, {} new to us", run.events_seen, run.events_new)?;
    say!("  looks    {} offers that only we call undelivered", run.looks)?;
    if run.unreadable > 0 {
        say!("  look     {} entries cannot be read: see the log", run.unreadable)?;
    }
    if let Some(error) = &run.error {
        say!("  WRONG    {error}")?;
    }
    Ok(())
}
