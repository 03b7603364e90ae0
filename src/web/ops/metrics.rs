//! `GET /metrics` for Prometheus: the few figures that are worth an alert.
//!
//! Each is read from an index when it is asked for, never by counting a large table. Times are told as timestamps, so that an alert
//! is `time() - courier_last_event_timestamp_seconds > 86400` and goes on rising when nothing happens any more.

use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::clock::Clock;
use crate::database::{Pool, with_timeout};
use crate::financing;
use crate::flow::inbox;
use crate::maintenance::reconcile;
use crate::queue::{self, Circuit};
use crate::web::feedback::ReportCounts;

/// What the figures are read from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Where events, runs and jobs are.
    pub db: Pool,
    /// What is old.
    pub clock: Clock,
    /// Stripe and the relay, as this process sees them.
    pub circuits: Vec<Circuit>,
    /// Reports about letters, as this process took them.
    pub reports: ReportCounts,
}

/// A text of OpenMetrics 1.0.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The one route.
pub fn router(sources: Sources) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(sources)
}

async fn metrics(State(sources): State<Sources>) -> Response {
    match with_timeout(read(&sources)).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::debug!(error = %error, "no figures: the database gives none");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn read(sources: &Sources) -> sqlx::Result<String> {
    let event = inbox::store::last_received(&sources.db).await?;
    let run = reconcile::store::last_complete(&sources.db, sources.clock.now()).await?;
    let dead = queue::dead_count(&sources.db).await?;
    let before = sources.clock.now() - financing::summary::MAY_DIFFER_FOR;
    let differing = financing::summary::store::differing(&sources.db, before).await?;
    let unreadable = financing::unreadable(&sources.db).await?;

    let mut registry = Registry::with_prefix("courier");
    let mut time = |name: &str, help: &str, at: Option<DateTime<Utc>>| {
        // Zero where it never happened: an age of half a century raises any alert.
        let seconds = Gauge::<i64>::default();
        seconds.set(at.map_or(0, |at| at.timestamp()));
        registry.register(name, help, seconds);
    };
    time("last_event_timestamp_seconds", "When Stripe's last event was kept", event);
    let help = "When Stripe was last asked, completely, for what never reached us";
    time("last_complete_reconciliation_timestamp_seconds", help, run);
    let mut count = |name: &str, help: &str, count: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(count);
        registry.register(name, help, gauge);
    };
    count("jobs_dead", "Jobs that were given up: a person must look", dead);
    let help = "Accounts whose transactions have added up to something else than Stripe's summary for an hour";
    count("accounts_differing", help, differing);
    let help = "Transactions of Stripe's lists that could not be read, or not be kept, when they were read last";
    count("transactions_unreadable", help, unreadable);
    let help = "Seconds that the database's clock is ahead of Stripe's; above 120 either way all work stops";
    let skew = sources.clock.skew().unwrap_or_default().num_seconds();
    count("clock_skew_seconds", help, skew);
    let circuits = Family::<Vec<(&str, &str)>, Gauge<u64, AtomicU64>>::default();
    for circuit in &sources.circuits {
        circuits.get_or_create(&vec![("circuit", circuit.name())]).set(circuit.is_open().into());
    }
    registry.register("circuit_open", "1 while the other side is taken to be down", circuits);

    let reports = Family::<Vec<(&str, &str)>, Counter>::default();
    for (door, outcome, count) in sources.reports.all() {
        reports
            .get_or_create(&vec![("channel", door.as_str()), ("outcome", outcome)])
            .inc_by(count);
    }
    registry.register(
        "reports",
        "Reports about letters, by the way that they came and what they did",
        reports,
    );

    let mut text = String::new();
    encode(&mut text, &registry).expect("a String takes whatever is written to it");
    Ok(text)
}
