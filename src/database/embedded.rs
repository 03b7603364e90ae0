//! A Postgres inside the process, for trying things out: `pglite-oxide`.
//!
//! It takes one connection at a time, so the pool has one, and everybody waits for it in turn. Nothing may hold a
//! connection while asking for another.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pglite_oxide::PgliteServer;

use super::{Database, OpenError, Settings, Troubles, pool_options};

/// Keeps the server running.
pub(super) struct Embedded(PgliteServer);

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Embedded").field(&self.url()).finish()
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
    let pool = pool_options(settings)
        .max_connections(1)
        .acquire_timeout(settings.acquire_timeout.max(TURN))
        // Another connection would wait for this one to end.
        .idle_timeout(None)
        .max_lifetime(None)
        .connect(&server.database_url())
        .await
        .map_err(|error| failed(error.into()))?;
    Ok(Database { pool, troubles: Troubles::default(), embedded: Some(Embedded(server)) })
}

impl Embedded {
    pub(super) fn url(&self) -> String {
        self.0.database_url()
    }

    pub(super) async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
        if let Ok(Err(error)) = stopped {
            tracing::warn!(error = %error, "the embedded Postgres did not stop cleanly");
        }
    }
}
