//! Graceful shutdown in two steps.
//!
//! At the first SIGTERM or SIGINT the process accepts no new work, finishes running work within
//! `shutdown.grace` and exits with 0. Work that the end of the grace period cuts off is left as by
//! a crash, from which every part recovers. A second signal ends the process immediately.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of the process and the signal that stops them. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled at the first signal.
    pub soft: CancellationToken,
    /// Every background task. The shutdown waits for them.
    pub tracker: TaskTracker,
    /// The first vital task that ended before the shutdown.
    failed: Arc<OnceLock<&'static str>>,
}

/// Whether all tasks ended within the grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    All,
    GaveUp,
}

/// 128 + SIGTERM: how a shell reports a process that SIGTERM ended.
const EXIT_NOW: i32 = 143;

impl Shutdown {
    /// Cancels `soft` at the first signal and exits at the second.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let soft = shutdown.soft.clone();
        // Not tracked: it waits for a second signal until the process ends, which `drain` must not.
        TaskTracker::new().spawn(handle_signals(terminate, interrupt, soft));
        Ok(shutdown)
    }

    /// Spawns a task that must run until the shutdown. If it ends earlier or panics, the whole
    /// process shuts down: a supervisor restarts a process that exits, but not one that does half
    /// its work.
    pub fn spawn_vital(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.tracker.spawn(work);
        let (soft, failed) = (self.soft.clone(), Arc::clone(&self.failed));
        self.tracker.spawn(async move {
            let ended = task.await;
            if !soft.is_cancelled() || ended.is_err() {
                tracing::error!(
                    part = name,
                    panicked = ended.is_err(),
                    "a task ended unexpectedly: stopping"
                );
                // The first failure stays: later ones follow from the shutdown that it starts.
                let _ = failed.set(name);
                soft.cancel();
            }
        });
    }

    /// The vital task that ended unexpectedly, if one did.
    pub fn failed_task(&self) -> Option<&'static str> {
        self.failed.get().copied()
    }

    /// Waits for all tasks, at most `grace`. Call it after `soft` is cancelled.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Drained::All,
            Err(_) => Drained::GaveUp,
        }
    }
}

async fn handle_signals(mut terminate: Signal, mut interrupt: Signal, soft: CancellationToken) {
    any_of(&mut terminate, &mut interrupt).await;
    tracing::info!("stopping: finishing running work (a second signal exits immediately)");
    soft.cancel();
    any_of(&mut terminate, &mut interrupt).await;
    tracing::warn!("exiting immediately: received a second signal");
    std::process::exit(EXIT_NOW);
}

async fn any_of(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_ends_early_or_panics_stops_the_process() {
        for panics in [false, true] {
            let shutdown = Shutdown::default();
            shutdown.spawn_vital("part", async move { assert!(!panics, "on purpose") });
            shutdown.soft.cancelled().await;
            assert_eq!(shutdown.drain(Duration::from_secs(5)).await, Drained::All);
            assert_eq!(shutdown.failed_task(), Some("part"));
        }
    }

    #[tokio::test]
    async fn a_vital_task_that_ends_after_the_stop_is_no_failure() {
        let shutdown = Shutdown::default();
        let stop = shutdown.soft.clone();
        shutdown.spawn_vital("part", async move { stop.cancelled().await });
        shutdown.soft.cancel();
        assert_eq!(shutdown.drain(Duration::from_secs(5)).await, Drained::All);
        assert_eq!(shutdown.failed_task(), None);
    }
}
