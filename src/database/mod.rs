//! The database: how to open it, its schema, and whether it can do its work.
//!
//! One dialect, three ways to get one: a Postgres by `database.url`, shared by all replicas; without it an embedded Postgres
//! in a folder (feature `demo`), which takes one connection at a time; and in tests a private server.

#[cfg(feature = "demo")]
mod cursor;
mod embedded;
mod health;
mod pool;
mod pooler;
mod text;
mod time;

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool, Postgres, Transaction};

use pooler::Found;

pub use cursor::{Cursor, InvalidCursor};
pub use health::{
    DatabaseHealth, RETRY_INTERVAL, is_about_the_data, is_unavailable, is_unstorable, with_timeout,
};
pub use pool::Pool;
pub use pooler::Pooler;
pub use text::{json_text, storable};
pub use time::{measure_clock, now};

/// Every migration, compiled in. A schema that is newer than this binary is fine: migrations expand before they contract, so
/// that the old replicas of a rolling restart go on.
pub static MIGRATOR: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!("./migrations") };

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `postgres://…`; none: the embedded one.
    pub url: Option<SecretString>,
    /// Where the embedded one keeps its files.
    pub data_dir: PathBuf,
    /// Connections that this process may open.
    pub max_connections: u32,
    /// What stands between this process and Postgres.
    pub pooler: Pooler,
    /// How long to wait for a free connection, or for a new one.
    pub acquire_timeout: Duration,
    /// How long a start waits for a database that is away.
    pub start_timeout: Duration,
    /// Bring the schema up to date at every start.
    pub migrate_on_start: bool,
}

/// An open database. The embedded one lives as long as this does.
#[derive(Debug)]
pub struct Database {
    /// Connections to it.
    pub pool: Pool,
    /// What is known of its database_health.
    pub database_health: DatabaseHealth,
    /// What keeps the embedded one running.
    #[cfg(feature = "demo")]
    embedded: Option<embedded::Embedded>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is wrong.
    #[error("database.url is not a Postgres URL (postgres://user:password@host:5432/name)")]
    Url(#[source] sqlx::Error),
    /// Nobody answered in time.
    #[error("cannot reach Postgres at {at} within {} s: is it running, and may this user log in?", waited.as_secs())]
    Away {
        /// Host, port and name of the database; never the password.
        at: String,
        /// For how long we tried.
        waited: Duration,
        /// The last answer.
        #[source]
        source: sqlx::Error,
    },
    /// A pooler that no transaction passes.
    #[error(
        "the pooler at {0} is in statement mode, in which no transaction is possible: set pool_mode = transaction \
         (or session) for this database"
    )]
    StatementMode(String),
    /// The schema could not be brought up to date.
    #[error("cannot bring the schema up to date")]
    Migrate(#[from] MigrateError),
    /// This binary has no Postgres inside.
    #[error("no database: set DATABASE_URL (this binary was built without the embedded Postgres)")]
    NotBuiltIn,
    /// The embedded one did not start.
    #[error("cannot start the embedded Postgres in {}", dir.display())]
    Embedded {
        /// Its folder.
        dir: PathBuf,
        /// What it said.
        #[source]
        source: anyhow::Error,
    },
}

/// What keeps a database from doing its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Writable, with the schema that this binary was built for or a newer one.
    Ready,
    /// No answer.
    Away,
    /// A standby, or a primary that refuses writes: after a failover, or because an operator made it read-only.
    /// Postgres does *not* become read-only when its disk is full.
    ReadOnly,
    /// Nothing can be added: its disk is full, or `temp_file_limit` is below what is asked of it here.
    Full,
    /// The schema is older than this binary: `capital-courier migrate`.
    SchemaBehind,
}

/// The limits of a session: a query that takes longer is a fault, and must not hold a connection for ever. Set after connecting, as
/// PgBouncer refuses them as startup parameters.
const LIMITS: &str =
    "set statement_timeout = '30s'; set idle_in_transaction_session_timeout = '30s'";
/// A server that is busy opens some connections a second.
const TO_OPEN_ALL: Duration = Duration::from_secs(10);
/// Between two tries at a start.
const PAUSE: Duration = Duration::from_millis(500);

/// Opens the database, waiting for one that is away, and migrates it where the settings say so.
pub async fn open(settings: &Settings) -> Result<Database, OpenError> {
    let database: Database = match &settings.url {
        Some(url) => connect(url.expose_secret(), settings).await?,
        #[cfg(feature = "demo")]
        None => embedded::open(settings).await?,
        #[cfg(not(feature = "demo"))]
        None => return Err(OpenError::NotBuiltIn),
    };
    if settings.migrate_on_start
        && let Err(error) = migrate_patiently(&database.pool, settings.start_timeout).await
    {
        database.close().await;
        return Err(error.into());
    }
    Ok(database)
}

/// Opens the database for a process that works all the time. Counts the connections that can be had: where they are fewer than the
/// settings say, work that waits for one that never comes would hold up the rest, so the process makes do with those.
pub async fn open_for_service(settings: &Settings) -> Result<Database, OpenError> {
    let database = open(settings).await?;
    let wanted = settings.max_connections;
    if database.is_embedded() || database.pool.is_pooled() {
        return Ok(database);
    }
    let opened = database.pool.open_all(wanted, settings.acquire_timeout.max(TO_OPEN_ALL)).await;
    if opened >= wanted {
        return Ok(database);
    }
    tracing::error!(
        connections.wanted = wanted,
        connections.opened = opened,
        "only {opened} of the {wanted} connections of database.max_connections can be opened, so the process works with \
         {opened}: behind PgBouncer in session mode, its default_pool_size must be at least database.max_connections \
         times the number of processes (or use pool_mode = transaction); without a pooler, so must Postgres' \
         max_connections; or lower database.max_connections. Restart this process once more connections are free"
    );
    database.close().await;
    let fewer =
        Settings { max_connections: opened.max(1), migrate_on_start: false, ..settings.clone() };
    open(&fewer).await
}

/// A database that goes away in the midst of it comes back, and a migration that was cut off was rolled back.
async fn migrate_patiently(pool: &Pool, patience: Duration) -> Result<(), MigrateError> {
    let started = tokio::time::Instant::now();
    loop {
        let error = match migrate(pool).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let may_pass = if let MigrateError::Execute(inner)
        | MigrateError::ExecuteMigration(inner, _) = &error
        {
            is_unavailable(inner)
        } else {
            false
        };
        if !may_pass || started.elapsed() >= patience {
            return Err(error);
        }
        tracing::warn!(error = %error, "cannot bring the schema up to date yet");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Brings the schema up to date, one replica at a time. A migration takes as long as it needs: an index over a million rows
/// is no fault.
async fn migrate(pool: &Pool) -> Result<(), MigrateError> {
    if pool.is_pooled() {
        return migrate_in_a_transaction(pool).await;
    }
    let mut connection = pool.session().await?;
    sqlx::query("set statement_timeout = 0").execute(&mut *connection).await?;
    // The same lock as through a pooler: sqlx's own is not taken there.
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

/// Any number that no other program locks: `courier` in ASCII.
const MIGRATION_LOCK: i64 = 0x0063_6f75_7269_6572;

/// The same through a pooler, where a lock of the session would stay with whichever server it was taken on.
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
    let at = format!(
        "{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or("")
    );
    // PgBouncer refuses connections that begin with settings that it does not know.
    let options = options.application_name("capital-courier").extra_float_digits(None);
    let found = find_patiently(&options, &at, settings).await?;
    let is_pooled = match (found, settings.pooler) {
        (Found::EachStatement, _) => return Err(OpenError::StatementMode(at)),
        (Found::EachTransaction, Pooler::Auto) => {
            tracing::info!(database.at = at, "a pooler in transaction mode stands before Postgres");
            true
        }
        (_, Pooler::Transaction) => true,
        (Found::Server, Pooler::Auto) => false,
    };
    let database_health = DatabaseHealth::default();
    let known = database_health.clone();
    let pool = pool_options(settings).max_connections(settings.max_connections).before_acquire(
        move |_, meta| {
            let may_use = known.may_use(meta.age);
            Box::pin(async move { Ok(may_use) })
        },
    );
    let pool = if is_pooled {
        Pool::through_pooler(pool.connect_lazy_with(options.statement_cache_capacity(0)))
    } else {
        let pool = pool.after_connect(|connection, _| {
            Box::pin(async move { connection.execute(LIMITS).await.map(drop) })
        });
        pool.connect_lazy_with(options).into()
    };
    Ok(Database { database_health, ..Database::from(pool) })
}

/// Waits for a database that is away, for as long as the settings say.
async fn find_patiently(
    options: &PgConnectOptions,
    at: &str,
    settings: &Settings,
) -> Result<Found, OpenError> {
    let started = tokio::time::Instant::now();
    let mut told = false;
    loop {
        let source = match pooler::find(options, settings.acquire_timeout).await {
            Ok(found) => return Ok(found),
            Err(source) => source,
        };
        let waited = started.elapsed();
        if waited >= settings.start_timeout {
            return Err(OpenError::Away { at: at.to_owned(), waited, source });
        }
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(database.at = at, error = %source, "waiting for Postgres");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn pool_options(settings: &Settings) -> PgPoolOptions {
    PgPoolOptions::new().acquire_timeout(settings.acquire_timeout)
}

/// A database that somebody else opened and will close.
impl From<PgPool> for Database {
    fn from(connections: PgPool) -> Self {
        Pool::from(connections).into()
    }
}

impl From<Pool> for Database {
    fn from(pool: Pool) -> Self {
        Self {
            pool,
            database_health: DatabaseHealth::default(),
            #[cfg(feature = "demo")]
            embedded: None,
        }
    }
}

impl Database {
    /// True for the one inside the process: it has a single connection, so nobody can `LISTEN` on it.
    pub fn is_embedded(&self) -> bool {
        #[cfg(feature = "demo")]
        return self.embedded.is_some();
        #[cfg(not(feature = "demo"))]
        return false;
    }

    /// Whether a connection can be kept for `LISTEN`, and others are left to work with.
    pub fn can_listen(&self) -> bool {
        !self.is_embedded() && !self.pool.is_pooled() && self.pool.max_connections() > 1
    }

    /// Closes all connections, and stops the embedded one.
    pub async fn close(self) {
        self.pool.close().await;
        #[cfg(feature = "demo")]
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

/// Looks whether the database can take writes and has our schema. `select 1` alone would call a standby healthy.
pub async fn health(pool: &Pool) -> Health {
    let newest = MIGRATOR.iter().map(|migration| migration.version).max();
    match look(pool).await {
        Ok((true, _)) => Health::ReadOnly,
        Ok((false, applied)) if applied < newest => Health::SchemaBehind,
        Ok((false, _)) => Health::Ready,
        Err(sqlx::Error::Database(error)) => match error.code().as_deref() {
            // There is no table of migrations, so none was ever applied.
            Some("42P01") => Health::SchemaBehind,
            // disk_full, configuration_limit_exceeded
            Some("53100" | "53400") => Health::Full,
            Some(_) | None => Health::Away,
        },
        Err(_) => Health::Away,
    }
}

/// Whether it is read-only, and the newest migration; an error where its disk is full.
///
/// A full disk shows only when a file has to grow. A row that is inserted and rolled back mostly goes into free space of
/// a page that exists, and never reaches the disk; its dead row stays behind each time. So we have Postgres spill some
/// 150 KB into a temporary file, which is written at once, lies beside the tables unless `temp_tablespaces` says otherwise,
/// needs no privilege, and leaves nothing behind. Where only the log's disk is full, Postgres stops by itself.
async fn look(pool: &Pool) -> sqlx::Result<(bool, Option<i64>)> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query_as(
        "
        select pg_is_in_recovery() or current_setting('transaction_read_only')::bool,
            (select max(version) from _sqlx_migrations where success)
        ",
    )
    .fetch_one(&mut *tx)
    .await?;
    // The least that Postgres allows, so that little has to be written.
    sqlx::query("set local work_mem = '64kB'").execute(&mut *tx).await?;
    sqlx::query("select count(*) from generate_series(1, 10000)").execute(&mut *tx).await?;
    tx.rollback().await?;
    Ok(row)
}

/// A transaction whose statements may take as long as they take, for reports of a process that does nothing else, and for
/// migrations.
pub async fn without_statement_timeout(db: &Pool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = db.begin().await?;
    tx.execute(
        "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0",
    )
    .await?;
    Ok(tx)
}
