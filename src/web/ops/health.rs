//! `/livez` and `/readyz`, for orchestrators and load balancers.
//!
//! *Alive* checks nothing: an unavailable database must not restart every replica. *Ready* checks
//! all that the work needs, including that the database accepts writes: after a failover, a standby
//! answers `select 1` happily.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::clock::{Agreement, Clock};
use crate::database::{self, Health, Pool};

/// Orchestrators give up after a second or so; a slower database counts as not ready.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Results are reused for this long, however many probes there are.
const CACHE_FOR: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Readiness {
    db: Pool,
    clock: Clock,
    last: Arc<Mutex<Option<(Instant, Health)>>>,
}

pub fn router(db: Pool, clock: Clock) -> Router {
    let state = Readiness { db, clock, last: Arc::default() };
    Router::new().route("/livez", get(alive)).route("/readyz", get(readiness)).with_state(state)
}

async fn alive() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

async fn readiness(State(state): State<Readiness>) -> (StatusCode, Json<Value>) {
    // Concurrent probes wait for the lock and share one check.
    let mut last = state.last.lock().await;
    let health = match *last {
        Some((at, health)) if at.elapsed() < CACHE_FOR => health,
        Some(_) | None => {
            let checked = tokio::time::timeout(CHECK_TIMEOUT, database::health(&state.db)).await;
            let health = checked.unwrap_or(Health::Unavailable);
            *last = Some((Instant::now(), health));
            health
        }
    };
    drop(last);
    let (database, schema) = match health {
        Health::Ready => ("writable", "current"),
        Health::Unavailable => ("away", "unknown"),
        Health::ReadOnly => ("read_only", "unknown"),
        Health::Full => ("full", "unknown"),
        Health::SchemaBehind => ("writable", "behind"),
    };
    let (clock, is_clock_right) = match state.clock.agreement() {
        // Ready: before Stripe has answered once, nothing speaks against the clock.
        Agreement::Unknown => ("not_compared", true),
        Agreement::Agrees => ("agrees_with_stripe", true),
        Agreement::Differs(_) => ("differs_from_stripe", false),
    };
    let is_ready = health == Health::Ready && is_clock_right;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let parts = json!({"database": database, "schema": schema, "clock": clock});
    (status, Json(json!({"ready": is_ready, "parts": parts})))
}
