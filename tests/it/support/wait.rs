//! Waiting for another process or task that gives no signal to await.

use std::time::Duration;

/// Checks `condition` every 20 ms until it holds. Panics with `context` after half a minute: longer
/// than any lease, pause or retry of the tests' settings.
pub async fn eventually(context: impl Fn() -> String, mut condition: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), holds).await;
    assert!(waited.is_ok(), "not within 30 s: {}", context());
}
