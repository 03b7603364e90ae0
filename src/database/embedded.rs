//! The embedded Postgres (`pglite-oxide`), for the demo and for trials.
//!
//! It accepts one connection at a time, so the pool has one. Code that holds a connection while it
//! acquires another deadlocks here.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pglite_oxide::PgliteServer;
use sqlx::Executor;
use tokio::io::{AsyncWriteExt, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use url::Url;

use super::{Database, OpenError, Settings, pool_options};

/// The running server. A connection that breaks off leaves nothing behind: the server rolls back
/// its transaction and forgets its session.
pub struct EmbeddedServer {
    /// `None` after it was stopped.
    server: Option<PgliteServer>,
    /// Of the relay before it.
    url: String,
    _relay: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for EmbeddedServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EmbeddedServer").field(&self.url).finish()
    }
}

/// All tasks share one connection, so acquiring it can take longer than from a server.
const MIN_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client sends its first message at once.
const FIRST_MESSAGE: Duration = Duration::from_secs(2);
/// After an error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// How `pglite-oxide` reports a folder that another process has locked.
const IN_USE: &str = "root is already in use:";

impl EmbeddedServer {
    /// Starts the server in `settings.data_dir`, which is created if missing.
    pub async fn start(settings: &Settings) -> Result<Self, OpenError> {
        let path = settings.data_dir.clone();
        let starting = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&path)?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            PgliteServer::builder().path(path).tcp(address).start()
        });
        let server = starting
            .await
            .map_err(|error| failed(settings, error.into()))?
            .map_err(|error| failed(settings, anyhow::anyhow!("{error:#}")))?;
        let relay = relay(&server).await.map_err(|error| failed(settings, error))?;
        Ok(Self { server: Some(server), url: relay.0, _relay: relay.1 })
    }

    /// Connects to the server, which the last holder of it stops. An earlier [`Database`] on it must
    /// be closed, or its connections broken off: a second connection waits for the first one's end.
    pub(super) async fn connect(
        self: &Arc<Self>,
        settings: &Settings,
    ) -> Result<Database, OpenError> {
        let pool = pool_options(settings)
            .max_connections(1)
            .acquire_timeout(settings.acquire_timeout.max(MIN_ACQUIRE_TIMEOUT))
            // Never replaced: a second connection would wait for the first one to close.
            .idle_timeout(None)
            .max_lifetime(None)
            // An error in a function can leave this Postgres in an aborted transaction that sqlx
            // does not know of.
            .before_acquire(|connection, _| {
                Box::pin(async move {
                    if connection.execute("select 1").await.is_err() {
                        connection.execute("rollback").await?;
                    }
                    Ok(true)
                })
            })
            .connect(&self.url)
            .await
            .map_err(|error| failed(settings, error.into()))?;
        Ok(Database { pool: pool.into(), embedded: Some(Arc::clone(self)) })
    }

    /// Stops the server. Every connection to it must be closed.
    pub async fn stop(mut self) {
        let Some(server) = self.server.take() else { return };
        let stopped = tokio::task::spawn_blocking(move || server.shutdown()).await;
        if let Ok(Err(error)) = stopped {
            tracing::warn!(error = %error, "the embedded Postgres did not stop cleanly");
        }
    }
}

/// Listens before the server, which ends at the first connection that is reset: towards the server,
/// each connection ends as one that was closed. Returns the URL to connect to.
async fn relay(server: &PgliteServer) -> anyhow::Result<(String, AbortOnDropHandle<()>)> {
    let mut url: Url = server.database_url().parse()?;
    let port = url.port().context("the embedded Postgres has no port")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let relayed = listener.local_addr()?.port();
    url.set_port(Some(relayed)).map_err(|()| anyhow::anyhow!("no port can be set"))?;
    let relaying = TaskTracker::new().spawn(async move {
        loop {
            let passed_on = async { pass_on(listener.accept().await?.0, port).await };
            if let Err(error) = passed_on.await {
                tracing::debug!(error = %error, "a connection to the embedded Postgres failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
    Ok((url.into(), AbortOnDropHandle::new(relaying)))
}

/// One connection at a time, as the server has it.
async fn pass_on(mut client: TcpStream, port: u16) -> std::io::Result<()> {
    if !begins_session(&client).await? {
        return Ok(());
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    let requests = async {
        // However it ended, the server sees an orderly end.
        let _ = copy(&mut from_client, &mut to_server).await;
        to_server.shutdown().await
    };
    let responses = async {
        let _ = copy(&mut from_server, &mut to_client).await;
        // Without a reader they are discarded, so that the server does not notice.
        let _ = copy(&mut from_server, &mut sink()).await;
        to_client.shutdown().await
    };
    tokio::try_join!(requests, responses).map(drop)
}

/// Whether the first message is one of Postgres: a startup message or a request for TLS. Anything
/// else, such as a port scanner, would break the server.
async fn begins_session(client: &TcpStream) -> std::io::Result<bool> {
    const PROTOCOL: u32 = 196_608;
    const TLS: u32 = 80_877_103;
    let mut head = [0; 8];
    let Ok(peeked) = timeout(FIRST_MESSAGE, client.peek(&mut head)).await else {
        return Ok(false);
    };
    let [a, b, c, d, code @ ..] = head;
    let (length, code) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(code));
    Ok(peeked? == head.len() && length < 10_000 && (code == PROTOCOL || code == TLS))
}

fn failed(settings: &Settings, source: anyhow::Error) -> OpenError {
    let dir = settings.data_dir.clone();
    if source.to_string().contains(IN_USE) {
        return OpenError::EmbeddedInUse(dir);
    }
    OpenError::Embedded { dir, source }
}

impl Drop for EmbeddedServer {
    /// Leaks the server, because its own `drop` waits for the client to disconnect. After an error
    /// the pool is still open, and the process would hang without showing the error. The server
    /// recovers at its next start.
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
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

    fn url_of(server: &EmbeddedServer) -> SocketAddr {
        let url: Url = server.url.parse().unwrap();
        url.socket_addrs(|| None).unwrap()[0]
    }

    async fn open(settings: &Settings) -> Result<Database, OpenError> {
        Arc::new(EmbeddedServer::start(settings).await?).connect(settings).await
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
    async fn a_connection_that_is_reset_leaves_the_server_and_no_transaction() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let server = Arc::new(EmbeddedServer::start(&settings).await.unwrap());
        let open = || async { server.connect(&settings).await.unwrap().pool };
        let mut scanner = TcpStream::connect(url_of(&server)).await.unwrap();
        scanner.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        (&open().await).execute("create table kept (n int)").await.unwrap();
        for _ in 0..5 {
            // A runtime of its own, which ends while a response is on its way.
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let (server, settings) = (Arc::clone(&server), settings.clone());
            runtime.spawn(async move {
                let pool = server.connect(&settings).await.unwrap().pool;
                let many = "begin; insert into kept select generate_series(1, 100); \
                            select repeat('x', 2000) from generate_series(1, 2000)";
                loop {
                    (&pool).execute(many).await.unwrap();
                }
            });
            tokio::time::sleep(Duration::from_millis(400)).await;
            runtime.shutdown_background();
        }
        let kept: i64 =
            sqlx::query_scalar("select count(*) from kept").fetch_one(&open().await).await.unwrap();
        assert_eq!(kept, 0);
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
