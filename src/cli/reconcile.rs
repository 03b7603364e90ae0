//! `reconcile`: compares with Stripe now. Running workers process what it finds.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::app::App;
use crate::cli::out::{self, note, say};
use crate::cli::progress::Progress;
use crate::clock::Clock;
use crate::config::{Requirement, Settings, environment};
use crate::maintenance::reconcile::store::{self, FullListing};
use crate::telemetry;

/// While another process continues the listing.
const WATCH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    run: store::Run,
    /// The listing of all offers, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    all_offers: Option<FullListing>,
}

pub(super) async fn run(config: Option<&Path>, all: bool, json: bool) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, &environment(), Requirement::None)?;
    telemetry::init(&settings.telemetry);
    let clock = Clock::system();
    let app = App::open(settings, clock.clone()).await?;
    let ran =
        if all { list_all(&app, &clock).await.map(Some) } else { once(&app).await.map(|()| None) };
    let newest = store::newest(app.db(), clock.now()).await?;
    app.close().await;
    let all_offers = ran?;
    let run = newest.context("the reconciliation left no record")?;
    let report = Report { run, all_offers };
    out::ignore_closed(print(&report, json))?;
    Ok(ExitCode::from(u8::from(report.run.state != "complete")))
}

async fn once(app: &App) -> anyhow::Result<()> {
    let _asking = Progress::spinner("asking Stripe for offers and events");
    let ran = app.reconcile_now().await.context("cannot start the reconciliation")?;
    ensure!(ran, "another process is reconciling: try again when it has finished");
    Ok(())
}

/// Runs until the listing of all offers has ended, in this process or in another, or until a run
/// of this process is incomplete.
async fn list_all(app: &App, clock: &Clock) -> anyhow::Result<FullListing> {
    app.request_listing().await?;
    let progress = Progress::spinner("asking Stripe for every offer");
    let mut seen = 0;
    loop {
        let ran = app.reconcile_now().await.context("cannot start the reconciliation")?;
        let listing = app.newest_listing().await?.context("the listing left no record")?;
        if listing.offers_seen > seen {
            seen = listing.offers_seen;
            let line = format!("{seen} offers listed, {} new", listing.offers_new);
            if progress.is_hidden() { note!("{line}") } else { progress.say(line) }
        }
        let newest = store::newest(app.db(), clock.now()).await?;
        let failed = newest.is_some_and(|run| run.state == "incomplete");
        if listing.ended_at.is_some() || (ran && failed) {
            return Ok(listing);
        }
        if !ran {
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        return out::json(report);
    }
    let Report { run, all_offers } = report;
    say!("{}", run.state)?;
    say!("  offers   {} undelivered at Stripe, {} new", run.offers_seen, run.offers_new)?;
    if let Some(all) = all_offers {
        let end = if all.ended_at.is_some() { "" } else { "; the next run continues" };
        say!("  all      {} offers listed, {} new{end}", all.offers_seen, all.offers_new)?;
    }
    say!("  events   {} listed, {} new", run.events_seen, run.events_new)?;
    say!("  checks   {} offers that are undelivered here and not at Stripe", run.offers_refreshed)?;
    if run.unreadable > 0 {
        say!("  skipped  {} entries that cannot be read: see the log", run.unreadable)?;
    }
    if let Some(error) = &run.error {
        say!("  ERROR    {error}")?;
    }
    Ok(())
}
