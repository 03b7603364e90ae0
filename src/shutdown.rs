//! Ending well, in two steps.
//!
//! The first SIGTERM or SIGINT says *soft*: nothing new is taken, what is in hand is finished, for as long as
//! `shutdown.grace` allows; then the process exits 0. What is cut off by the end of the grace is what a crash would leave, and
//! that is safe everywhere. A second signal says *now*.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of the process and the word that they are to end. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled at the first signal.
    pub soft: CancellationToken,
    /// Every background task: a stop waits for them.
    pub tracker: TaskTracker,
}

/// Whether everybody ended in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// They did.
    All,
    /// Some were still at work.
    GaveUp,
}

/// 128 + SIGTERM, as a shell reports a process that a signal ended.
const EXIT_NOW: i32 = 143;

impl Shutdown {
    /// Listens for signals from now on.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let soft = shutdown.soft.clone();
        // Not tracked: it waits for a second signal until the very end.
        TaskTracker::new().spawn(heed(terminate, interrupt, soft));
        Ok(shutdown)
    }

    /// Waits for all tasks, at most `grace`. To be called once `soft` is cancelled.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Drained::All,
            Err(_) => Drained::GaveUp,
        }
    }
}

async fn heed(mut terminate: Signal, mut interrupt: Signal, soft: CancellationToken) {
    either(&mut terminate, &mut interrupt).await;
    tracing::info!("stopping: finishing what is in hand (a second signal stops at once)");
    soft.cancel();
    either(&mut terminate, &mut interrupt).await;
    tracing::warn!("stopping at once");
    std::process::exit(EXIT_NOW);
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
