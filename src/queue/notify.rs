//! Wakes workers when there is a new job. Only a hint: workers also poll, so a lost notification
//! costs time but no work.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::database::Pool;
use crate::telemetry::chain;

/// Wakes its listeners. Notify after the commit, or a worker looks before the job is visible.
/// Clones share the listeners.
#[derive(Clone, Debug, Default)]
pub struct Notifier(watch::Sender<()>);

/// Waits for a notifier. A notification between two waits is not lost.
#[derive(Clone, Debug)]
pub struct Listener(watch::Receiver<()>);

impl Notifier {
    pub fn notify(&self) {
        self.0.send_replace(());
    }

    /// A listener that misses no notification from now on.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Listener {
    /// Waits for a notification, at most `longest`.
    pub async fn wait(&mut self, longest: Duration) {
        // After the notifier is dropped, `changed` fails immediately: wait for the timeout instead.
        let notified = async {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(longest, notified).await;
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
        // `None` means a reconnect, during which notifications may have been lost: notify anyway.
        listener.try_recv().await?;
        notifier.notify();
    }
}
