//! Wakes workers when there is a new job. Only a hint: workers also poll, so a lost notification
//! costs time but no work.
//!
//! A notification names a kind of job where it can: a worker that wakes asks the database for work,
//! and eight of them asking after each letter cost more than the letter.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::database::Pool;
use crate::telemetry::chain;

/// Wakes its listeners. Notify after the commit, or a worker looks before the job is visible.
/// Clones share the listeners.
#[derive(Clone, Debug, Default)]
pub struct Notifier(watch::Sender<Notified>);

/// How often the listeners were notified.
#[derive(Debug, Default)]
struct Notified {
    all: u64,
    /// The kinds that have a listener.
    of_kind: HashMap<&'static str, u64>,
}

/// Waits for a notifier. A notification between two waits is not lost.
#[derive(Clone, Debug)]
pub struct Listener {
    notified: watch::Receiver<Notified>,
    kind: Option<&'static str>,
    seen: u64,
}

impl Notified {
    fn count(&self, kind: Option<&str>) -> u64 {
        let of_kind = kind.and_then(|kind| self.of_kind.get(kind));
        self.all + of_kind.copied().unwrap_or_default()
    }
}

impl Notifier {
    /// Wakes every listener.
    pub fn notify(&self) {
        self.0.send_modify(|notified| notified.all += 1);
    }

    /// Wakes the listeners for this kind of job, or every listener if there is none.
    pub fn notify_kind(&self, kind: &str) {
        self.0.send_modify(|notified| match notified.of_kind.get_mut(kind) {
            Some(count) => *count += 1,
            None => notified.all += 1,
        });
    }

    /// A listener that misses no [`Notifier::notify`] from now on.
    pub fn listen(&self) -> Listener {
        self.subscribe(None)
    }

    /// A listener that misses no notification of this kind, and none of all, from now on.
    pub fn listen_for(&self, kind: &'static str) -> Listener {
        self.0.send_modify(|notified| {
            notified.of_kind.entry(kind).or_default();
        });
        self.subscribe(Some(kind))
    }

    fn subscribe(&self, kind: Option<&'static str>) -> Listener {
        let notified = self.0.subscribe();
        let seen = notified.borrow().count(kind);
        Listener { notified, kind, seen }
    }
}

impl Listener {
    /// Waits for a notification, at most `longest`.
    pub async fn wait(&mut self, longest: Duration) {
        let Self { notified, kind, seen } = self;
        let waiting = async {
            let is_new = |notified: &Notified| notified.count(*kind) != *seen;
            let count = notified.wait_for(is_new).await.map(|notified| notified.count(*kind));
            match count {
                Ok(count) => *seen = count,
                // The notifier was dropped: wait for the timeout instead.
                Err(_) => std::future::pending().await,
            }
        };
        let _ = tokio::time::timeout(longest, waiting).await;
    }
}

/// The pause after the database refused to listen or the connection broke.
const PAUSE: Duration = Duration::from_secs(5);

/// Forwards each `NOTIFY` of a new job to `notifier` until `stop`. Holds one connection.
pub async fn notify_on_insert(db: Pool, notifier: Notifier, stop: CancellationToken) {
    let listen = async {
        loop {
            if let Err(error) = listen(&db, &notifier).await {
                tracing::debug!(
                    error = chain(&error),
                    "cannot listen for new jobs; polling finds them"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = listen => {}
    }
}

async fn listen(db: &Pool, notifier: &Notifier) -> sqlx::Result<()> {
    let mut listener = db.listener().await?;
    listener.listen(super::store::CHANNEL).await?;
    loop {
        match listener.try_recv().await? {
            // A process of an earlier version names no kind, and wakes all.
            Some(notification) => notifier.notify_kind(notification.payload()),
            // A reconnect, during which notifications may have been lost.
            None => notifier.notify(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_hours(1);

    /// Whether the listener wakes without waiting.
    async fn is_woken(listener: &mut Listener) -> bool {
        tokio::select! {
            biased;
            () = listener.wait(NEVER) => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn a_notification_wakes_the_workers_of_its_kind() {
        let jobs = Notifier::default();
        let (mut letters, mut marks) = (jobs.listen_for("letter"), jobs.listen_for("mark"));
        assert!(!is_woken(&mut letters).await);
        jobs.notify_kind("letter");
        jobs.notify_kind("letter");
        assert!(is_woken(&mut letters).await);
        assert!(!is_woken(&mut letters).await, "two notifications before a wait are one");
        assert!(!is_woken(&mut marks).await);
        jobs.notify();
        assert!(is_woken(&mut letters).await && is_woken(&mut marks).await);
        // An older process sends no kind; a newer one may send a kind that is unknown here.
        for payload in ["", "12", "unheard_of"] {
            jobs.notify_kind(payload);
            assert!(is_woken(&mut letters).await && is_woken(&mut marks).await, "{payload}");
        }
    }

    #[tokio::test]
    async fn without_a_notifier_a_wait_ends_at_its_time() {
        let jobs = Notifier::default();
        let mut listener = jobs.listen();
        drop(jobs);
        assert!(!is_woken(&mut listener).await);
        listener.wait(Duration::from_millis(1)).await;
    }
}
