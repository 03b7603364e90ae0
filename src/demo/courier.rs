//! The service of the demo, as under `serve`, which can be killed and started again.
//!
//! Each run has a runtime of its own. To kill it is to end that runtime: every task ends where it
//! waits, and every socket closes. What is left is what a killed process leaves: the database. The
//! next run takes the jobs over once their leases have expired.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Role};
use crate::clock::Clock;
use crate::config::Settings;
use crate::database::{self, EmbeddedServer, OpenError};
use crate::shutdown::Shutdown;

use super::POLL_INTERVAL;

/// How long running work may take to finish when the demo ends.
const GRACE: Duration = Duration::from_millis(800);

pub(super) struct Service {
    pub(super) settings: Settings,
    clock: Clock,
    postgres: Arc<EmbeddedServer>,
    current: Mutex<Option<Run>>,
}

/// A run, on a thread of its own.
struct Run {
    shutdown: Shutdown,
    killed: CancellationToken,
    ended: oneshot::Receiver<()>,
    /// Weak, because the app holds its connection, for which the next run would wait.
    app: Weak<App>,
}

type Started = anyhow::Result<Arc<App>>;

impl Service {
    /// Starts the database. [`Service::start`] starts the service itself.
    pub(super) async fn new(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let started = EmbeddedServer::start(&settings.database).await;
        if let Err(OpenError::EmbeddedInUse(dir)) = &started {
            bail!("another process uses {}: stop it, or use another --dir", dir.display());
        }
        let postgres = Arc::new(started?);
        Ok(Self { settings, clock, postgres, current: Mutex::new(None) })
    }

    /// Starts a run and waits until it listens. The service must not be running. The app must be
    /// dropped before the run ends.
    pub(super) async fn start(&self, role: Role) -> Started {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("courier")
            .enable_all()
            .build()
            .context("cannot start the service's threads")?;
        let (shutdown, killed) = (Shutdown::default(), CancellationToken::new());
        let ((ready, is_ready), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let (settings, clock) = (self.settings.clone(), self.clock.clone());
        let (postgres, stop, kill) = (Arc::clone(&self.postgres), shutdown.clone(), killed.clone());
        std::thread::spawn(move || {
            runtime.block_on(async {
                let serving = async {
                    let app = open(settings, clock, &postgres).await;
                    serve(app, role, stop, ready).await;
                };
                kill.run_until_cancelled(Box::pin(serving)).await;
            });
            // Ends the tasks where they are.
            runtime.shutdown_background();
            let _ = end.send(());
        });
        let run = Run { shutdown, killed, ended, app: Weak::new() };
        *self.current.lock() = Some(run);
        let app = is_ready.await.context("the service ended while it started")??;
        if let Some(run) = &mut *self.current.lock() {
            run.app = Arc::downgrade(&app);
        }
        Ok(app)
    }

    /// The app of the current run. Hold it for a moment only.
    pub(super) fn app(&self) -> Option<Arc<App>> {
        self.current.lock().as_ref().and_then(|run| run.app.upgrade())
    }

    /// Waits until every event that has arrived is read and every job that is due is done.
    pub(super) async fn settle(&self) {
        let is_idle = async || match self.app() {
            Some(app) => app.is_idle().await.unwrap_or(false),
            None => false,
        };
        while !is_idle().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Ends the run as `kill -9` ends a process.
    pub(super) async fn kill(&self) {
        let run = self.current.lock().take();
        if let Some(run) = run {
            run.killed.cancel();
            let _ = run.ended.await;
        }
    }

    /// Lets running work finish for a moment, and stops.
    pub(super) async fn stop(&self) {
        let run = self.current.lock().take();
        if let Some(run) = run {
            run.shutdown.soft.cancel();
            let mut ended = run.ended;
            if tokio::time::timeout(GRACE, &mut ended).await.is_err() {
                run.killed.cancel();
                let _ = ended.await;
            }
        }
    }

    /// Stops the database. Every run must have ended.
    pub(super) async fn close(self) {
        if let Some(postgres) = Arc::into_inner(self.postgres) {
            // It waits until it has noticed that a connection was broken off.
            let _ = tokio::time::timeout(GRACE, postgres.stop()).await;
        }
    }
}

async fn open(
    settings: Settings,
    clock: Clock,
    postgres: &Arc<EmbeddedServer>,
) -> anyhow::Result<App> {
    let database = database::open_on(postgres, &settings.database).await?;
    App::on_database(settings, clock, database).await
}

async fn serve(
    app: anyhow::Result<App>,
    role: Role,
    shutdown: Shutdown,
    ready: oneshot::Sender<Started>,
) {
    let app = match app {
        Ok(app) => Arc::new(app),
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let (mut ready, started) = (Some(ready), Arc::clone(&app));
    let on_ready = |_| {
        if let Some(ready) = ready.take() {
            let _ = ready.send(Ok(started));
        }
    };
    if let Err(error) = app.serve(role, &shutdown, on_ready).await {
        let Some(ready) = ready else {
            tracing::error!(error = format!("{error:#}"), "the service stopped");
            return;
        };
        let _ = ready.send(Err(error));
    }
}
