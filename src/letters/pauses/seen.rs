//! The pauses that a process has seen: those in force when it last claimed letters, and those that
//! it has logged.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Pause;
use crate::letters::store::Content;

/// Clones share what was seen.
#[derive(Clone, Debug, Default)]
pub struct SeenPauses(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    in_force: Vec<Pause>,
    /// By id.
    logged: BTreeSet<i64>,
}

impl SeenPauses {
    /// Takes note of the pauses that are in force now.
    pub fn update(&self, in_force: Vec<Pause>) {
        self.0.lock().in_force = in_force;
    }

    /// Whether a pause stopped letters with this content when the pauses were read last. One may
    /// have begun or ended since: only [`super::lock_in_force`] decides.
    pub fn stopped(&self, content: &Content) -> bool {
        self.0.lock().in_force.iter().any(|pause| pause.stops(content))
    }

    /// Logs the pause, unless this process has logged it before.
    pub fn log(&self, pause: &Pause) {
        if self.0.lock().logged.insert(pause.pause_id) {
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
