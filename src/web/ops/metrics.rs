//! `GET /metrics` for Prometheus, in three parts: what this process counted (each part of the
//! service owns its families), what the database says now, and the process itself.
//!
//! The database's part is read along indexes, never further than a fixed number of rows. Times are
//! exported as timestamps, so that an alert is `time() - courier_last_event_timestamp_seconds >
//! 86400` and keeps rising when nothing happens any more. Every replica exports the same, so rules
//! take the maximum. While the database is away, `courier_database_up` is 0 and the rest of that part
//! is absent.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::process;
use super::state::{self, DatabaseState};
use crate::clock::Clock;
use crate::database::Pool;
use crate::queue::Circuit;

#[derive(Clone, Debug)]
pub struct Sources {
    pub db: Pool,
    pub clock: Clock,
    /// The circuits of this process to Stripe and to the relay.
    pub circuits: Vec<Circuit>,
    /// The kinds of jobs whose queues are shown.
    pub job_kinds: Vec<&'static str>,
    /// What the parts of this process counted.
    pub counted: Arc<Registry>,
}

pub(super) type Gauges = Family<Vec<(&'static str, String)>, Gauge<i64>>;

/// OpenMetrics 1.0.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Below Prometheus's default `scrape_timeout` of ten seconds.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);

pub fn router(sources: Sources) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(sources)
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let read = tokio::time::timeout(DATABASE_TIMEOUT, state::read(&sources)).await;
    let database = match read {
        Ok(Ok(database)) => Some(database),
        Ok(Err(error)) => {
            // Not an error in the log: the alert on `courier_database_up` says it, and the
            // database's state is logged by those who need it.
            tracing::debug!(%error, "cannot read the metrics");
            None
        }
        Err(_) => None,
    };
    let text = encode(&sources, database.as_ref()).expect("writing to a String cannot fail");
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

fn encode(sources: &Sources, database: Option<&DatabaseState>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    process::register(&mut registry);
    let courier = registry.sub_registry_with_prefix("courier");
    register_present(sources, courier);
    gauge(courier, "database_up", "1 if the database answered", database.is_some().into());
    if let Some(database) = database {
        database.register(courier);
    }
    let mut text = String::new();
    encode_registry(&mut text, &sources.counted)?;
    encode_registry(&mut text, &registry)?;
    encode_eof(&mut text)?;
    Ok(text)
}

/// Registers what this process knows without the database.
fn register_present(sources: &Sources, registry: &mut Registry) {
    let help = "The version that runs";
    let info = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    register_gauges(registry, "build_info", help, [(info, 1)]);
    let help = "Seconds that the database's clock is ahead of Stripe's; beyond 120 all work stops";
    let skew = sources.clock.skew().unwrap_or_default().num_seconds();
    gauge(registry, "clock_skew_seconds", help, skew);
    let circuits = Family::<Vec<(&str, &str)>, Gauge<u64, AtomicU64>>::default();
    for circuit in &sources.circuits {
        circuits.get_or_create(&vec![("circuit", circuit.name())]).set(circuit.is_open().into());
    }
    let help = "1 while the service considers the other side down";
    registry.register("circuit_open", help, circuits);
    let pool = sources.db.usage();
    let help = "Connections to the database by state; max is the limit of this process";
    let of_state =
        |state: &str, connections: u32| (vec![("state", state.to_owned())], i64::from(connections));
    let in_use = pool.open.saturating_sub(pool.idle);
    let connections =
        [of_state("idle", pool.idle), of_state("in_use", in_use), of_state("max", pool.max)];
    register_gauges(registry, "database_connections", help, connections);
}

pub(super) fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

pub(super) fn register_gauges(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Vec<(&'static str, String)>, i64)>,
) {
    let gauges = Gauges::default();
    for (labels, value) in values {
        gauges.get_or_create(&labels).set(value);
    }
    registry.register(name, help, gauges);
}
