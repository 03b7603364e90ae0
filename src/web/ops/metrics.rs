//! `GET /metrics` for Prometheus: the few values that are worth an alert.
//!
//! Each is read from an index at scrape time, never by counting a large table. Times are exported
//! as timestamps, so that an alert is `time() - courier_last_event_timestamp_seconds > 86400` and
//! keeps rising when nothing happens any more.

use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::clock::Clock;
use crate::database::{Pool, with_timeout};
use crate::financing;
use crate::flow::inbox;
use crate::maintenance::reconcile;
use crate::operators::attention::{self, Group};
use crate::queue::{self, Circuit};
use crate::web::feedback::ReportCounts;

#[derive(Clone, Debug)]
pub struct Sources {
    pub db: Pool,
    pub clock: Clock,
    /// The circuits of this process to Stripe and to the relay.
    pub circuits: Vec<Circuit>,
    /// Feedback reports that this process applied.
    pub reports: ReportCounts,
}

/// OpenMetrics 1.0.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub fn router(sources: Sources) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(sources)
}

async fn metrics(State(sources): State<Sources>) -> Response {
    match with_timeout(read(&sources)).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            // Not an error in the log: the failed scrape alerts by itself, and the database's state
            // is logged by those who need it.
            tracing::debug!(%error, "cannot read the metrics");
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
    let mut gauge = |name: &str, help: &str, value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    // 0 if it never happened: an age of half a century triggers any alert.
    let seconds = |at: Option<DateTime<Utc>>| at.map_or(0, |at| at.timestamp());
    gauge("last_event_timestamp_seconds", "When Stripe's last event was stored", seconds(event));
    let help = "When reconciliation with Stripe last completed";
    gauge("last_complete_reconciliation_timestamp_seconds", help, seconds(run));
    gauge("jobs_dead", "Dead jobs: they need attention", dead);
    let help = "Accounts whose ledger has differed from Stripe's summary for an hour";
    gauge("accounts_differing", help, differing);
    let help = "Entries of Stripe's transaction lists that the last pass could not read or store";
    gauge("transactions_unreadable", help, unreadable);
    let help = "Seconds that the database's clock is ahead of Stripe's; beyond 120 all work stops";
    let skew = sources.clock.skew().unwrap_or_default().num_seconds();
    gauge("clock_skew_seconds", help, skew);
    let circuits = Family::<Vec<(&str, &str)>, Gauge<u64, AtomicU64>>::default();
    for circuit in &sources.circuits {
        circuits.get_or_create(&vec![("circuit", circuit.name())]).set(circuit.is_open().into());
    }
    let help = "1 while the service considers the other side down";
    registry.register("circuit_open", help, circuits);

    register_attention(&mut registry, &attention::read(&sources.db, sources.clock.now(), 1).await?);

    let help = "Feedback reports about emails, by channel and outcome";
    registry.register("reports", help, sources.reports.clone());

    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a String cannot fail");
    Ok(text)
}

/// What waits for an operator. A kind that nothing waits in has no sample.
fn register_attention(registry: &mut Registry, groups: &[Group]) {
    let counts = Family::<Vec<(&str, String)>, Gauge<i64>>::default();
    let oldest = Family::<Vec<(&str, String)>, Gauge<i64>>::default();
    for group in groups {
        let kind = ("kind", group.kind.as_str().to_owned());
        let reason = ("reason", group.reason.clone());
        counts.get_or_create(&vec![kind.clone(), reason]).set(group.count);
        // The groups of a kind share one sample: the time of the longest waiting.
        let since = group.since.timestamp();
        let of_kind = oldest.get_or_create(&vec![kind]);
        let known = of_kind.get();
        of_kind.set(if known == 0 { since } else { known.min(since) });
    }
    registry.register("attention", "What waits for an operator, by kind and reason", counts);
    let help = "Since when the oldest of its kind waits for an operator";
    registry.register("attention_oldest_timestamp_seconds", help, oldest);
}
