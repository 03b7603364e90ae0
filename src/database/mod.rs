//! Opens the database, migrates its schema and checks its health.
//!
//! Always Postgres: the server at `database.url`, which all replicas share; without that setting an
//! embedded one (feature `demo`), which accepts one connection at a time; in tests a private
//! server.

mod batcher;
mod cursor;
mod dismissed;
#[cfg(feature = "demo")]
mod embedded;
mod export;
mod group_commit;
mod health;
mod metrics;
mod pool;
mod pooler;
mod server_info;
mod text;
mod time;
mod transaction;
mod warm;

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;
#[cfg(feature = "demo")]
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};

use crate::clock::Measured;
use crate::telemetry::chain;
use pooler::PoolMode;

pub(crate) use batcher::{BatchLimits, BatchWork, Batcher};
pub use cursor::{Cursor, InvalidCursor};
pub use dismissed::Dismissed;
#[cfg(feature = "demo")]
pub use embedded::EmbeddedServer;
pub(crate) use export::export_rows;
pub(crate) use group_commit::{GroupCommit, Grouped};
pub use health::{
    DatabaseHealth, RETRY_INTERVAL, is_about_the_data, is_unavailable, is_unstorable, with_timeout,
};
pub use metrics::{DatabaseMetrics, PoolUsage};
pub use pool::Pool;
pub use pooler::Pooler;
pub use server_info::{ServerInfo, server_info};
pub use text::{json_text, storable};
pub use time::{measure_clock, now};
pub use transaction::Transaction;

/// Every migration, compiled in. A schema that is newer than this binary is accepted: migrations
/// expand before they contract, so that old replicas keep working during a rolling update.
pub static MIGRATOR: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!("./migrations") };

#[derive(Clone, Debug)]
pub struct Settings {
    /// `postgres://…`. `None` selects the embedded Postgres.
    pub url: Option<SecretString>,
    /// The folder of the embedded Postgres.
    pub data_dir: PathBuf,
    /// Connections that this process may open.
    pub max_connections: u32,
    pub pooler: Pooler,
    /// The limit on acquiring a connection, from the pool or new.
    pub acquire_timeout: Duration,
    /// How long the start waits for an unreachable database.
    pub start_timeout: Duration,
    pub migrate_on_start: bool,
}

impl Settings {
    /// Whether [`open()`] would create an embedded Postgres.
    pub fn creates_embedded(&self) -> bool {
        cfg!(feature = "demo") && self.url.is_none() && !self.data_dir.exists()
    }

    /// Host, port and name; never the password.
    pub fn location(&self) -> String {
        let Some(url) = &self.url else {
            return format!("embedded, in {}", self.data_dir.display());
        };
        let options = PgConnectOptions::from_str(url.expose_secret());
        options.map_or_else(|_| "an invalid URL".to_owned(), |options| location(&options))
    }
}

fn location(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    format!("{host}:{port}/{}", options.get_database().unwrap_or_default())
}

/// An open database. An embedded one runs for as long as this lives.
#[derive(Debug)]
pub struct Database {
    pub pool: Pool,
    #[cfg(feature = "demo")]
    embedded: Option<Arc<EmbeddedServer>>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("database.url is not a Postgres URL (postgres://user:password@host:5432/name)")]
    Url(#[source] sqlx::Error),
    #[error("cannot reach Postgres at {at} within {} s", waited.as_secs())]
    Unreachable {
        /// Host, port and name of the database; never the password.
        at: String,
        waited: Duration,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the pooler at {0} is in statement mode, in which no transaction is possible: set \
         pool_mode = transaction (or session) for this database"
    )]
    StatementMode(String),
    #[error("cannot bring the schema up to date")]
    Migrate(#[from] MigrateError),
    #[error("no database: set DATABASE_URL (this build has no embedded Postgres)")]
    NotBuiltIn,
    #[error(
        "another process uses the embedded Postgres in {}, which only one at a time can: stop it, \
         or set DATABASE_URL to a Postgres server",
        .0.display()
    )]
    EmbeddedInUse(PathBuf),
    #[error("cannot start the embedded Postgres in {}", dir.display())]
    Embedded {
        dir: PathBuf,
        #[source]
        source: anyhow::Error,
    },
}

/// Whether the database can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Writable, with the schema that this binary was built for or a newer one.
    Ready,
    Unavailable,
    /// A standby, or a primary that refuses writes: after a failover, or because an operator set
    /// it. Postgres does *not* become read-only when its disk is full.
    ReadOnly,
    /// The disk of the temporary files is full, which usually is the disk of the tables, or
    /// `temp_file_limit` is below what `check` writes. Inserts may still succeed for a while.
    Full,
    /// The schema is older than this binary: `capital-courier migrate`.
    SchemaBehind,
}

/// The limits of a session: a longer query is a defect and must not hold its connection. Set after
/// connecting, because PgBouncer rejects them as startup parameters. Compiling a query takes longer
/// than ours run.
const LIMITS: &str = "set statement_timeout = '30s'; set jit = off; \
     set idle_in_transaction_session_timeout = '30s'";
/// A busy server opens only a few connections per second.
const OPEN_ALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts at startup.
const PAUSE: Duration = Duration::from_millis(500);

/// Opens the database and migrates it if `migrate_on_start` is set. Waits up to `start_timeout` for
/// an unreachable one.
pub async fn open(settings: &Settings) -> Result<Database, OpenError> {
    let database: Database = match &settings.url {
        Some(url) => connect(url.expose_secret(), settings).await?,
        #[cfg(feature = "demo")]
        None => Arc::new(EmbeddedServer::start(settings).await?).connect(settings).await?,
        #[cfg(not(feature = "demo"))]
        None => return Err(OpenError::NotBuiltIn),
    };
    migrated(database, settings).await
}

/// As [`open()`], on an embedded server that outlives the database.
#[cfg(feature = "demo")]
pub async fn open_on(
    server: &Arc<EmbeddedServer>,
    settings: &Settings,
) -> Result<Database, OpenError> {
    migrated(server.connect(settings).await?, settings).await
}

async fn migrated(database: Database, settings: &Settings) -> Result<Database, OpenError> {
    if settings.migrate_on_start
        && let Err(error) = migrate_with_retry(&database.pool, settings.start_timeout).await
    {
        database.close().await;
        return Err(error.into());
    }
    Ok(database)
}

/// As [`open()`], for the service. Counts the connections that can be opened and, if they are fewer
/// than `max_connections`, limits the pool to them: a task that waits for a connection that never
/// comes would block others.
pub async fn open_for_service(settings: &Settings) -> Result<Database, OpenError> {
    let database = open(settings).await?;
    let wanted = settings.max_connections;
    if database.is_embedded() || database.pool.is_pooled() {
        return Ok(database);
    }
    let opened =
        database.pool.open_all(wanted, settings.acquire_timeout.max(OPEN_ALL_TIMEOUT)).await;
    if opened >= wanted {
        return Ok(database);
    }
    tracing::error!(
        connections.wanted = wanted,
        connections.opened = opened,
        "only {opened} of the {wanted} connections of database.max_connections can be opened, so \
         the process works with {opened}: behind PgBouncer in session mode, its default_pool_size \
         must be at least database.max_connections times the number of processes (or use \
         pool_mode = transaction); without a pooler, so must Postgres' max_connections; or lower \
         database.max_connections. Restart this process once more connections are free"
    );
    database.close().await;
    let fewer =
        Settings { max_connections: opened.max(1), migrate_on_start: false, ..settings.clone() };
    open(&fewer).await
}

/// Retries while the database is unavailable. An interrupted migration was rolled back, so it is
/// safe to repeat.
async fn migrate_with_retry(pool: &Pool, timeout: Duration) -> Result<(), MigrateError> {
    let is_transient = |error: &MigrateError| {
        matches!(error, MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _)
            if is_unavailable(inner))
    };
    retry_at_start(timeout, "cannot migrate the schema yet; retrying", is_transient, || {
        migrate(pool)
    })
    .await
}

/// As [`measure_clock`], for a database that may restart right after it was opened.
pub async fn measure_clock_at_start(pool: &Pool, timeout: Duration) -> sqlx::Result<Measured> {
    let message = "cannot read the time of the database yet; retrying";
    retry_at_start(timeout, message, is_unavailable, || measure_clock(pool)).await
}

/// Repeats an attempt while it fails for a reason that passes, for this long.
async fn retry_at_start<T, E, F>(
    timeout: Duration,
    message: &str,
    is_transient: impl Fn(&E) -> bool,
    attempt: impl Fn() -> F,
) -> Result<T, E>
where
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>>,
{
    let started = tokio::time::Instant::now();
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !is_transient(&error) || started.elapsed() >= timeout {
            return Err(error);
        }
        tracing::warn!(error = chain(&error), "{message}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Migrates the schema, one replica at a time, without a statement timeout: building an index on a
/// large table may take minutes.
async fn migrate(pool: &Pool) -> Result<(), MigrateError> {
    if pool.is_pooled() {
        return migrate_in_a_transaction(pool).await;
    }
    let mut connection = pool.session().await?;
    sqlx::query("set statement_timeout = 0").execute(&mut *connection).await?;
    // The same lock as through a pooler, where sqlx's own lock is disabled, so that both exclude
    // each other.
    sqlx::query("select pg_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *connection)
        .await?;
    let migrated = MIGRATOR.run(&mut *connection).await;
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *connection)
        .await?;
    connection.execute(LIMITS).await?;
    migrated
}

/// A key that no other program uses: `courier` in ASCII.
const MIGRATION_LOCK: i64 = 0x0063_6f75_7269_6572;

/// As [`migrate`], through a pooler, where a session lock would stay on the server that took it.
async fn migrate_in_a_transaction(pool: &Pool) -> Result<(), MigrateError> {
    let migrator = Migrator {
        migrations: Cow::Borrowed(&MIGRATOR.migrations),
        ignore_missing: true,
        locking: false,
        ..Migrator::DEFAULT
    };
    let mut tx = without_statement_timeout(pool).await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).execute(&mut *tx).await?;
    migrator.run(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn connect(url: &str, settings: &Settings) -> Result<Database, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(OpenError::Url)?;
    let at = location(&options);
    // PgBouncer rejects startup parameters that it does not know.
    let options = options.application_name("capital-courier").extra_float_digits(None);
    let mode = detect_with_retry(&options, &at, settings).await?;
    let is_pooled = match (mode, settings.pooler) {
        (PoolMode::Statement, _) => return Err(OpenError::StatementMode(at)),
        (PoolMode::Transaction, Pooler::Auto) => {
            tracing::info!(database.at = at, "detected a pooler in transaction mode");
            true
        }
        (_, Pooler::Transaction) => true,
        (PoolMode::Session, Pooler::Auto) => false,
    };
    let health = DatabaseHealth::default();
    let of_connection = health.clone();
    let pool = pool_options(settings)
        .max_connections(settings.max_connections)
        // sqlx would ask each time, which costs a busy service as much as a statement.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            // After a failover, open connections may lead to a server that is now a standby.
            let may_use = of_connection.may_use(meta.age);
            Box::pin(async move { Ok(may_use && warm::is_alive(connection, meta.idle_for).await) })
        });
    let connections = if is_pooled {
        pool.connect_lazy_with(options.statement_cache_capacity(0))
    } else {
        let pool = pool.after_connect(|connection, _| {
            Box::pin(async move { connection.execute(LIMITS).await.map(drop) })
        });
        pool.connect_lazy_with(options)
    };
    Ok(Pool::new(connections, is_pooled, health).into())
}

/// Retries until `start_timeout` while the database is unreachable.
async fn detect_with_retry(
    options: &PgConnectOptions,
    at: &str,
    settings: &Settings,
) -> Result<PoolMode, OpenError> {
    let started = tokio::time::Instant::now();
    let mut is_logged = false;
    loop {
        let source = match pooler::detect(options, settings.acquire_timeout).await {
            Ok(mode) => return Ok(mode),
            Err(source) => source,
        };
        let waited = started.elapsed();
        if waited >= settings.start_timeout {
            return Err(OpenError::Unreachable { at: at.to_owned(), waited, source });
        }
        if !std::mem::replace(&mut is_logged, true) {
            tracing::warn!(
                database.at = at,
                error = chain(&source),
                "cannot reach Postgres yet; retrying"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn pool_options(settings: &Settings) -> PgPoolOptions {
    PgPoolOptions::new().acquire_timeout(settings.acquire_timeout)
}

impl From<PgPool> for Database {
    fn from(connections: PgPool) -> Self {
        Pool::from(connections).into()
    }
}

impl From<Pool> for Database {
    fn from(pool: Pool) -> Self {
        Self {
            pool,
            #[cfg(feature = "demo")]
            embedded: None,
        }
    }
}

impl Database {
    pub fn is_embedded(&self) -> bool {
        #[cfg(feature = "demo")]
        return self.embedded.is_some();
        #[cfg(not(feature = "demo"))]
        return false;
    }

    /// Whether a connection can be reserved for `LISTEN` and others remain.
    pub fn can_listen(&self) -> bool {
        !self.is_embedded() && !self.pool.is_pooled() && self.pool.max_connections() > 1
    }

    /// Closes all connections and stops an embedded Postgres that nothing else holds.
    pub async fn close(self) {
        self.pool.close().await;
        #[cfg(feature = "demo")]
        if let Some(server) = self.embedded.and_then(Arc::into_inner) {
            server.stop().await;
        }
    }
}

/// Checks that the database accepts writes and has this binary's schema. `select 1` alone would
/// call a standby healthy.
pub async fn health(pool: &Pool) -> Health {
    let newest = MIGRATOR.iter().map(|migration| migration.version).max();
    match check(pool).await {
        Ok((true, _)) => Health::ReadOnly,
        Ok((false, applied)) if applied < newest => Health::SchemaBehind,
        Ok((false, _)) => Health::Ready,
        Err(sqlx::Error::Database(error)) => match error.code().as_deref() {
            // undefined_table: the migrations table does not exist, so none was ever applied.
            Some("42P01") => Health::SchemaBehind,
            // disk_full, configuration_limit_exceeded
            Some("53100" | "53400") => Health::Full,
            Some(_) | None => Health::Unavailable,
        },
        Err(_) => Health::Unavailable,
    }
}

/// Returns whether the database is read-only, and its newest migration. Fails if the disk is full.
///
/// A full disk shows only when a file must grow. A row that is inserted and rolled back mostly fits
/// into an existing page, never reaches the disk and leaves a dead row. So this makes Postgres
/// spill about 150 KB into a temporary file, which is written immediately, lies beside the tables
/// unless `temp_tablespaces` is set, needs no privilege and leaves nothing behind. If only the disk
/// of the WAL is full, Postgres shuts down by itself.
async fn check(pool: &Pool) -> sqlx::Result<(bool, Option<i64>)> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query_as(
        "
        select pg_is_in_recovery() or current_setting('transaction_read_only')::bool,
            (select max(version) from _sqlx_migrations where success)
        ",
    )
    .fetch_one(&mut *tx)
    .await?;
    // The minimum that Postgres allows, so that a small result already spills to disk.
    sqlx::query("set local work_mem = '64kB'").execute(&mut *tx).await?;
    sqlx::query("select count(*) from generate_series(1, 10000)").execute(&mut *tx).await?;
    tx.rollback().await?;
    Ok(row)
}

/// A transaction without statement timeouts, for migrations and for reports by commands.
pub async fn without_statement_timeout(db: &Pool) -> sqlx::Result<Transaction> {
    let mut tx = db.begin().await?;
    tx.execute(
        "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0",
    )
    .await?;
    Ok(tx)
}

/// A transaction whose queries walk along indexes and stop at their `limit`, for counts of what may
/// be millions of rows. Left to itself, the planner reads the whole range first (a bitmap), or the
/// table, whenever its statistics are old.
pub async fn along_indexes(db: &Pool) -> sqlx::Result<Transaction> {
    let mut tx = db.begin().await?;
    tx.execute(
        "set local enable_seqscan = off; set local enable_bitmapscan = off;
         set local enable_sort = off",
    )
    .await?;
    Ok(tx)
}

/// A transaction whose queries all see the database as it is at the first of them, without a
/// timeout for statements. It cannot write.
pub async fn snapshot(db: &Pool) -> sqlx::Result<Transaction> {
    let mut tx = without_statement_timeout(db).await?;
    tx.execute("set transaction isolation level repeatable read, read only").await?;
    Ok(tx)
}
