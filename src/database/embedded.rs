//! A Postgres inside the process, for trying things out: `pglite-oxide`.
//!
//! It takes one connection at a time, so the pool has one, and everybody waits for it in turn. Nothing may hold a
//! connection while asking for another.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pglite_oxide::PgliteServer;

use super::{Database, DatabaseHealth, OpenError, Settings, pool_options};

/// Keeps the server running. None once it was stopped.
pub(super) struct Embedded(Option<PgliteServer>, String);

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Embedded").field(&self.1).finish()
    }
}

/// Everybody shares one connection, so a turn can take longer than with a server.
const TURN: Duration = Duration::from_secs(30);

/// Starts it in `settings.data_dir`, which is made where it is missing.
pub(super) async fn open(settings: &Settings) -> Result<Database, OpenError> {
    let dir = settings.data_dir.clone();
    let failed = |source: anyhow::Error| OpenError::Embedded { dir: dir.clone(), source };
    let path = dir.clone();
    let server = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&path)?;
        PgliteServer::builder().path(path).tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).start()
    })
    .await
    .map_err(|error| failed(error.into()))?
    .map_err(|error| failed(anyhow::anyhow!("{error:#}")))?;
    let url = server.database_url();
    let embedded = Embedded(Some(server), url.clone());
    let pool = pool_options(settings)
        .max_connections(1)
        .acquire_timeout(settings.acquire_timeout.max(TURN))
        // Another connection would wait for this one to end.
        .idle_timeout(None)
        .max_lifetime(None)
        .connect(&url)
        .await
        .map_err(|error| failed(error.into()))?;
    Ok(Database {
        pool: pool.into(),
        database_health: DatabaseHealth::default(),
        embedded: Some(embedded),
    })
}

impl Embedded {
    pub(super) async fn stop(mut self) {
        let Some(server) = self.0.take() else { return };
        let stopped = tokio::task::spawn_blocking(move || server.shutdown()).await;
        if let Ok(Err(error)) = stopped {
            tracing::warn!(error = %error, "the embedded Postgres did not stop cleanly");
        }
    }
}

impl Drop for Embedded {
    /// The server's own `drop` waits for its client to hang up. Where an error leads past `stop`, the pool is still
    /// open, and that wait would keep the process, and the error, for ever. A server that just ends recovers at the next start.
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            std::mem::forget(server);
        }
    }
}
