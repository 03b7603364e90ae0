//! Who else works on this database. Processes share what Stripe allows to all of them together, so
//! each must know how many there are.

mod store;

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::Pool;
use crate::stripe::Client;

/// Between two signs of life.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A process that was not seen for three beats counts no longer.
const GONE_AFTER: TimeDelta = TimeDelta::seconds(15);

/// Whether a process works on this database, or takes webhooks for it.
pub async fn is_any_alive(db: &Pool) -> sqlx::Result<bool> {
    store::is_any_alive(db, GONE_AFTER.as_seconds_f64()).await
}

/// Gives signs of life until `stop`, and tells `stripe` how many processes share its limits.
pub async fn register(db: Pool, clock: Clock, stripe: Client, stop: CancellationToken) {
    let replica_id = Uuid::new_v4();
    let started_at = clock.now();
    loop {
        match store::heartbeat(&db, replica_id, started_at, clock.now(), GONE_AFTER).await {
            Ok(processes) => stripe.share_with(u32::try_from(processes).unwrap_or(1)),
            Err(error) => tracing::debug!(error = %error, "cannot give a sign of life"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(HEARTBEAT_INTERVAL) => {}
        }
    }
    // Without it, the others only take their larger share a few seconds later.
    let _ = tokio::time::timeout(HEARTBEAT_INTERVAL, store::leave(&db, replica_id)).await;
}
