//! `/livez` and `/readyz`, for whatever restarts the process and sends it traffic.
//!
//! They are two questions. *Alive* looks at nothing: a database that is away must not have every replica restarted. *Ready*
//! looks at all that the work needs, and at writes in particular: after a failover a standby answers `select 1` happily.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::clock::{Agreement, Clock};
use crate::database::{self, Health, Pool};

/// An orchestrator gives up after a second or so; a database that takes longer is not ready.
const LONGEST: Duration = Duration::from_secs(2);
/// However many probes there are, the database is asked once a second.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Ready {
    db: Pool,
    clock: Clock,
    last: Arc<Mutex<Option<(Instant, Health)>>>,
}

/// The two routes.
pub fn router(db: Pool, clock: Clock) -> Router {
    let ready = Ready { db, clock, last: Arc::default() };
    Router::new().route("/livez", get(alive)).route("/readyz", get(readiness)).with_state(ready)
}

async fn alive() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

async fn readiness(State(ready): State<Ready>) -> (StatusCode, Json<Value>) {
    // Whoever comes while another asks waits for that answer.
    let mut last = ready.last.lock().await;
    let health = match *last {
        Some((at, health)) if at.elapsed() < FRESH => health,
        Some(_) | None => {
            let asked = tokio::time::timeout(LONGEST, database::health(&ready.db)).await;
            let health = asked.unwrap_or(Health::Away);
            *last = Some((Instant::now(), health));
            health
        }
    };
    drop(last);
    let [database, schema] = database_parts(health);
    let parts = [database, schema, clock_part(&ready.clock)];
    let is_ready = parts.iter().all(|part| part.is_ready);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let by_name: Map<String, Value> =
        parts.iter().map(|part| (part.name.to_owned(), part.state.into())).collect();
    (status, Json(json!({"ready": is_ready, "parts": by_name})))
}

/// One line of the answer.
struct Part {
    name: &'static str,
    state: &'static str,
    /// Whether the work can be done as far as this part goes.
    is_ready: bool,
}

fn database_parts(health: Health) -> [Part; 2] {
    let (database, schema) = match health {
        Health::Ready => ("writable", "current"),
        Health::Away => ("away", "unknown"),
        Health::ReadOnly => ("read_only", "unknown"),
        Health::Full => ("full", "unknown"),
        Health::SchemaBehind => ("writable", "behind"),
    };
    [
        Part { name: "database", state: database, is_ready: database == "writable" },
        Part { name: "schema", state: schema, is_ready: schema == "current" },
    ]
}

/// Before Stripe has answered once, nothing speaks against the clock.
fn clock_part(clock: &Clock) -> Part {
    let (state, is_ready) = match clock.agreement() {
        Agreement::Unknown => ("not_compared", true),
        Agreement::Agrees => ("agrees_with_stripe", true),
        Agreement::Differs(_) => ("differs_from_stripe", false),
    };
    Part { name: "clock", state, is_ready }
}
