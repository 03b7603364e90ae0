//! The connection pool: connections to a server each, or through a pooler in transaction mode (see
//! `pooler`).
//!
//! Such a pooler assigns a server to each transaction. sqlx needs two round trips per query: it
//! prepares a named statement, then executes it. Outside of a transaction the two may reach
//! different servers, and the names of different clients collide on one server. So behind a pooler
//! each query runs in a transaction, and each transaction first deallocates the statements that
//! other clients left. Session state (`LISTEN`, `set`, session locks) is not used there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesUnordered};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgListener, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, Postgres, SqlSafeStr, SqlStr};
use tokio_util::task::TaskTracker;

use super::warm::{WarmConnection, WarmConnections};
use super::{DatabaseHealth, PoolUsage, Transaction};

/// A pool of connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: PgPool,
    /// Those of them that are idle since a moment ago.
    warm: Arc<WarmConnections>,
    /// Whether they lead through a pooler in transaction mode.
    is_pooled: bool,
    health: DatabaseHealth,
}

/// Begins a transaction behind a pooler in transaction mode. The timeouts are `local`, because a
/// session setting would leak to other clients of the pooler.
macro_rules! pooled {
    () => {
        "begin read write; deallocate all; \
         set local statement_timeout = '30s'; set local jit = off; \
         set local idle_in_transaction_session_timeout = '30s'"
    };
}

/// The setting of [`Pool::begin_along_indexes`].
macro_rules! along_indexes {
    () => {
        "; set local enable_seqscan = off"
    };
}

/// The settings of [`Pool::begin_by_key`].
macro_rules! by_key {
    () => {
        "; set local plan_cache_mode = force_generic_plan; set local enable_hashjoin = off; \
         set local enable_mergejoin = off; set local lock_timeout = '5s'"
    };
}

const POOLED: &str = pooled!();
const ALONG_INDEXES: &str = concat!("begin", along_indexes!());
const POOLED_ALONG_INDEXES: &str = concat!(pooled!(), along_indexes!());
const BY_KEY: &str = concat!("begin", along_indexes!(), by_key!());
const POOLED_BY_KEY: &str = concat!(pooled!(), along_indexes!(), by_key!());

/// A pool that the caller has made and may use beside this one: nothing is kept from it.
impl From<PgPool> for Pool {
    fn from(connections: PgPool) -> Self {
        let warm = Arc::new(WarmConnections::new(0));
        Self { connections, warm, is_pooled: false, health: DatabaseHealth::default() }
    }
}

impl Pool {
    /// `is_pooled` if the connections lead through a pooler in transaction mode.
    pub(super) fn new(connections: PgPool, is_pooled: bool, health: DatabaseHealth) -> Self {
        // The other half is for those who ask sqlx's pool, such as a listener that connects again.
        let half = connections.options().get_max_connections().div_ceil(2);
        let warm = Arc::new(WarmConnections::new(usize::try_from(half).unwrap_or(usize::MAX)));
        Self { connections, warm, is_pooled, health }
    }

    /// The errors of this database, as the process saw them.
    pub fn health(&self) -> &DatabaseHealth {
        &self.health
    }

    /// Whether the connections lead through a pooler in transaction mode.
    pub fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// Begins a transaction. Cancellation-safe: sqlx 0.9 returns the connection of a cancelled
    /// `begin` to the pool inside the transaction (transact-rs/sqlx#4385), and what the next user
    /// writes is never committed. A separate task completes the `begin`; without a caller it is
    /// rolled back.
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        self.begin_with(self.is_pooled.then_some(POOLED)).await
    }

    async fn begin_with(&self, begin: Option<&'static str>) -> sqlx::Result<Transaction> {
        let started = Instant::now();
        let begin = begin.map(SqlSafeStr::into_sql_str);
        let beginning = TaskTracker::new().spawn(Transaction::begin(self.clone(), begin));
        let transaction = beginning.await.unwrap_or(Err(sqlx::Error::WorkerCrashed));
        self.health.metrics().begun(started.elapsed());
        transaction
    }

    /// As [`Pool::begin`], for statements that find their rows by indexes. While the planner takes a
    /// table for small, it would read it whole. A connection may keep a plan that it has made for a
    /// statement elsewhere, so use it wherever the statement runs.
    pub async fn begin_along_indexes(&self) -> sqlx::Result<Transaction> {
        let begin = if self.is_pooled { POOLED_ALONG_INDEXES } else { ALONG_INDEXES };
        self.begin_with(Some(begin)).await
    }

    /// As [`Pool::begin_along_indexes`], for small sets of rows. Each statement is planned
    /// once for a connection: left to itself, the planner plans it five times or always. One that
    /// another transaction keeps waiting for five seconds fails.
    pub async fn begin_by_key(&self) -> sqlx::Result<Transaction> {
        self.begin_with(Some(if self.is_pooled { POOLED_BY_KEY } else { BY_KEY })).await
    }

    /// A connection, to be given back once it is idle. Through a pooler in transaction mode it is
    /// for a transaction only.
    pub(super) async fn connection(&self) -> sqlx::Result<WarmConnection> {
        self.warm.acquire(&self.connections, &self.health).await
    }

    /// Takes back a connection that is idle and outside of a transaction.
    pub(super) fn give_back(&self, connection: WarmConnection) {
        self.warm.give_back(connection);
    }

    /// A connection whose session state persists. Not available through a pooler in transaction
    /// mode.
    pub(super) async fn session(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        let _waiting = self.warm.wait_for_pool();
        self.connections.acquire().await
    }

    pub(super) fn max_connections(&self) -> u32 {
        self.connections.options().get_max_connections()
    }

    pub fn usage(&self) -> PoolUsage {
        let idle = self.connections.num_idle() + self.warm.count();
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        PoolUsage { max: self.max_connections(), open: self.connections.size(), idle }
    }

    /// A connection for `LISTEN`. Not available through a pooler in transaction mode.
    pub async fn listener(&self) -> sqlx::Result<PgListener> {
        let _waiting = self.warm.wait_for_pool();
        PgListener::connect_with(&self.connections).await
    }

    /// Opens `wanted` connections at once and returns how many answered `within` the time. They
    /// stay open in the pool.
    pub(super) async fn open_all(&self, wanted: u32, within: Duration) -> u32 {
        let _waiting = self.warm.wait_for_pool();
        let open = async || -> sqlx::Result<PoolConnection<Postgres>> {
            let mut connection = self.connections.acquire().await?;
            connection.execute("select 1").await?;
            Ok(connection)
        };
        let mut opening: FuturesUnordered<_> = (0..wanted).map(|_| open()).collect();
        // Held until all are open, or the pool would hand out the same one twice.
        let mut opened = Vec::new();
        let open_all = async {
            while let Some(connection) = opening.next().await {
                opened.extend(connection.ok());
            }
        };
        let _ = tokio::time::timeout(within, open_all).await;
        u32::try_from(opened.len()).unwrap_or(wanted)
    }

    pub async fn close(&self) {
        self.warm.close();
        self.connections.close().await;
    }
}

impl<'p> Executor<'p> for &Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        // Collected, so that the connection is given back. Through a pooler rows are returned only
        // after the commit, because callers act on what they see.
        let answer = async move {
            let answer: Vec<_> = if pool.is_pooled() {
                let mut tx = pool.begin().await?;
                let answer = tx.fetch_many(query).try_collect().await?;
                tx.commit().await?;
                answer
            } else {
                let mut connection = pool.connection().await?;
                let answer = connection.fetch_many(query).try_collect().await?;
                pool.give_back(connection);
                answer
            };
            Ok::<_, sqlx::Error>(stream::iter(answer.into_iter().map(Ok)))
        };
        stream::once(answer).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            if pool.is_pooled() {
                let mut tx = pool.begin().await?;
                let row = tx.fetch_optional(query).await?;
                tx.commit().await?;
                return Ok(row);
            }
            let mut connection = pool.connection().await?;
            let row = connection.fetch_optional(query).await?;
            pool.give_back(connection);
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        (&self.connections).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        (&self.connections).describe(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooled_transaction_has_the_limits_of_a_session() {
        let session: Vec<&str> = super::super::LIMITS.split("; ").collect();
        let local: Vec<String> =
            session.iter().map(|limit| limit.replace("set ", "set local ")).collect();
        assert!(POOLED.ends_with(&local.join("; ")), "{POOLED}");
    }
}
