//! Outcome well, in two steps.
//!
//! The first SIGTERM or SIGINT says *soft*: nothing new is taken, what is in hand is finished, for as long as
//! `shutdown.grace` allows; then the process exits 0. What is cut off by the end of the grace is what a crash would leave, and
//! that is safe everywhere. A second signal says *now*.

use std::sync::{Arc, OnceLock};
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
    /// The part that ended by itself, if one did.
    broken: Arc<OnceLock<&'static str>>,
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
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let soft = shutdown.soft.clone();
        // Not tracked: it waits for a second signal until the very end.
        TaskTracker::new().spawn(heed(terminate, interrupt, soft));
        Ok(shutdown)
    }

    /// Starts a part that has to run until the stop. If it ends before, or panics, the whole process stops: one that lives and
    /// does half its work is worse than one that is started again.
    pub fn spawn_vital(&self, part: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.tracker.spawn(work);
        let (soft, broken) = (self.soft.clone(), Arc::clone(&self.broken));
        self.tracker.spawn(async move {
            let ended = task.await;
            if !soft.is_cancelled() || ended.is_err() {
                tracing::error!(
                    part,
                    panicked = ended.is_err(),
                    "a part ended by itself: stopping"
                );
                let _ = broken.set(part);
                soft.cancel();
            }
        });
    }

    /// The part that ended by itself, if one did.
    pub fn broken(&self) -> Option<&'static str> {
        self.broken.get().copied()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_by_itself_or_panics_stops_the_process() {
        for panics in [false, true] {
            let shutdown = Shutdown::default();
            shutdown.spawn_vital("part", async move { assert!(!panics, "on purpose") });
            shutdown.soft.cancelled().await;
            assert_eq!(shutdown.drain(Duration::from_secs(5)).await, Drained::All);
            assert_eq!(shutdown.broken(), Some("part"));
        }
    }

    #[tokio::test]
    async fn a_part_that_ends_after_the_stop_breaks_nothing() {
        let shutdown = Shutdown::default();
        let stop = shutdown.soft.clone();
        shutdown.spawn_vital("part", async move { stop.cancelled().await });
        shutdown.soft.cancel();
        assert_eq!(shutdown.drain(Duration::from_secs(5)).await, Drained::All);
        assert_eq!(shutdown.broken(), None);
    }
}
