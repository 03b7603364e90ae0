//! The list of live processes on this database. They share Stripe's rate limits, so each must know
//! their number.

mod store;

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::Pool;
use crate::stripe::Client;
use crate::telemetry::chain;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A process that missed three heartbeats is not counted.
const GONE_AFTER: TimeDelta = TimeDelta::seconds(15);

/// Whether any process serves or works on this database.
pub async fn is_any_alive(db: &Pool) -> sqlx::Result<bool> {
    store::is_any_alive(db, GONE_AFTER.as_seconds_f64()).await
}

/// Sends heartbeats until `stop` and passes the number of processes to `stripe`, which takes its
/// share of the rate limits.
pub async fn register(db: Pool, clock: Clock, stripe: Client, stop: CancellationToken) {
    let replica_id = Uuid::new_v4();
    let started_at = clock.now();
    loop {
        match store::heartbeat(&db, replica_id, started_at, clock.now(), GONE_AFTER).await {
            Ok(processes) => stripe.share_with(u32::try_from(processes).unwrap_or(1)),
            Err(error) => tracing::debug!(error = chain(&error), "cannot record the heartbeat"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(HEARTBEAT_INTERVAL) => {}
        }
    }
    // Best effort: otherwise the other processes take over this share when it times out.
    let _ = tokio::time::timeout(HEARTBEAT_INTERVAL, store::leave(&db, replica_id)).await;
}
