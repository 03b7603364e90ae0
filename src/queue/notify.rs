//! Wakes those who wait for work. Only a hint: whoever hears nothing looks at the table after a while anyway.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::database::Pool;

/// Rung after the commit that made work. Clones are the same notifier.
#[derive(Clone, Debug)]
pub struct Notifier(watch::Sender<()>);

/// Hears a notifier. A ring between two waits is not lost.
#[derive(Clone, Debug)]
pub struct Listener(watch::Receiver<()>);

impl Notifier {
    /// A notifier that nobody hears yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Wakes everybody who listens.
    pub fn notify(&self) {
        self.0.send_replace(());
    }

    /// Somebody who hears every ring from now on.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Listener {
    /// Waits for a ring, at most `longest`.
    pub async fn wait(&mut self, longest: Duration) {
        // A dropped notifier leaves the waiting to the time limit, not to a busy loop.
        let rung = async {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(longest, rung).await;
    }
}

/// How long to leave a database alone after it would not let us listen.
const PAUSE: Duration = Duration::from_secs(5);

/// Rings `notifier` at each `NOTIFY` of a new job until `stop`. Takes one connection of its own.
pub async fn notify_on_insert(db: Pool, notifier: Notifier, stop: CancellationToken) {
    let listen = async {
        loop {
            if let Err(error) = listen(&db, &notifier).await {
                tracing::debug!(error = %error, "not listening for new jobs; polling finds them");
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
        // `None` says that the connection broke and came back: what was notified meanwhile is lost, so look.
        listener.try_recv().await?;
        notifier.notify();
    }
}
