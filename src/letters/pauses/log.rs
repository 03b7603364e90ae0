//! Logs a pause, once per process.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Pause;

/// Clones share what was logged.
#[derive(Clone, Debug, Default)]
pub struct PauseLog(Arc<Mutex<BTreeSet<i64>>>);

impl PauseLog {
    /// Logs the pause, unless this process has logged it before.
    pub fn record(&self, pause: &Pause) {
        if self.0.lock().insert(pause.pause_id) {
            tracing::warn!(
                pause.scope = %pause,
                pause.since = %pause.paused_at,
                pause.by = pause.paused_by,
                pause.reason = pause.reason,
                "sending is paused: letters in scope wait until `capital-courier resume`"
            );
        }
    }
}
