//! The embedded Postgres (`pglite-oxide`), for the demo and for trials.
//!
//! It accepts one connection at a time, so the pool has one. Code that holds a connection while it
//! acquires another deadlocks here.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pglite_oxide::PgliteServer;
use sqlx::Executor;

use super::{Database, OpenError, Settings, pool_options};

/// Keeps the server running. `None` after it was stopped.
pub(super) struct Embedded(Option<PgliteServer>, String);

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Embedded").field(&self.1).finish()
    }
}

/// All tasks share one connection, so acquiring it can take longer than from a server.
const MIN_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// How `pglite-oxide` reports a folder that another process has locked.
const IN_USE: &str = "root is already in use:";

/// Starts the server in `settings.data_dir`, which is created if missing.
pub(super) async fn open(settings: &Settings) -> Result<Database, OpenError> {
    let dir = settings.data_dir.clone();
    let failed = |source: anyhow::Error| {
        if source.to_string().contains(IN_USE) {
            return OpenError::EmbeddedInUse(dir.clone());
        }
        OpenError::Embedded { dir: dir.clone(), source }
    };
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
        .acquire_timeout(settings.acquire_timeout.max(MIN_ACQUIRE_TIMEOUT))
        // Never replaced: a second connection would wait for the first one to close.
        .idle_timeout(None)
        .max_lifetime(None)
        // An error in a function can leave this Postgres in an aborted transaction that sqlx does
        // not know of.
        .before_acquire(|connection, _| {
            Box::pin(async move {
                if connection.execute("select 1").await.is_err() {
                    connection.execute("rollback").await?;
                }
                Ok(true)
            })
        })
        .connect(&url)
        .await
        .map_err(|error| failed(error.into()))?;
    Ok(Database { pool: pool.into(), embedded: Some(embedded) })
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
    /// Leaks the server, because its own `drop` waits for the client to disconnect. After an error
    /// the pool is still open, and the process would hang without showing the error. The server
    /// recovers at its next start.
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            std::mem::forget(server);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::database::Pooler;

    use super::*;

    fn settings(dir: &Path) -> Settings {
        Settings {
            url: None,
            data_dir: dir.into(),
            max_connections: 1,
            pooler: Pooler::Auto,
            acquire_timeout: Duration::from_secs(30),
            start_timeout: Duration::from_secs(30),
            migrate_on_start: false,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_in_use_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let database = open(&settings).await.unwrap();
        let error = open(&settings).await.unwrap_err();
        assert!(matches!(&error, OpenError::EmbeddedInUse(of) if of == dir.path()), "{error:?}");
        database.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_next_query_ends_an_aborted_transaction() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let database = open(&settings).await.unwrap();
        for statement in ["begin", "select 1 / 0"] {
            let _ = (&database.pool).execute(statement).await;
        }
        let one: i32 = sqlx::query_scalar("select 1").fetch_one(&database.pool).await.unwrap();
        assert_eq!(one, 1);
        database.close().await;
    }
}
