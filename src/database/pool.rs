//! Connections to the database: to a server of its own each, or through a pooler in transaction mode (see `pooler`).
//!
//! Such a pooler gives a client another server for each transaction. sqlx needs two round trips for a query: it prepares a statement
//! under a name, then executes it. Outside of a transaction the second may reach another server than the first; and the names of
//! different clients collide on each server. So there each query runs in a transaction, which stays on one server, and each
//! transaction begins with forgetting the names that others left. What belongs to a session (`LISTEN`, `set`, session locks) is not
//! used.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesUnordered};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgListener, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, Postgres, SqlStr, Transaction};
use tokio_util::task::TaskTracker;

/// Connections to the database. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: PgPool,
    /// How a transaction begins, where a pooler gives each another server.
    begin: Option<&'static str>,
}

/// `statement_timeout` and the other limit are local: what is set for a session would hold for other clients.
const BEGIN_POOLED: &str = "begin read write; deallocate all; set local statement_timeout = '30s'; \
     set local idle_in_transaction_session_timeout = '30s'";

/// Connections that lead to a server each.
impl From<PgPool> for Pool {
    fn from(connections: PgPool) -> Self {
        Self { connections, begin: None }
    }
}

impl Pool {
    /// Connections that lead to a pooler in transaction mode.
    pub(super) fn through_pooler(connections: PgPool) -> Self {
        Self { connections, begin: Some(BEGIN_POOLED) }
    }

    /// Whether a pooler gives each transaction another server.
    pub fn is_pooled(&self) -> bool {
        self.begin.is_some()
    }

    /// Begins a transaction. A caller that stops waiting (a time limit, a client that hung up) does not
    /// stop the `begin`: sqlx 0.9 would put the connection back into the pool inside of the transaction
    /// (transact-rs/sqlx#4385), and what the next one writes on it would never be committed. In a task
    /// of its own it comes to its end, and a transaction without a caller is rolled back.
    pub async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        let (connections, begin) = (self.connections.clone(), self.begin);
        let beginning = TaskTracker::new().spawn(async move {
            match begin {
                None => connections.begin().await,
                Some(begin) => connections.begin_with(begin).await,
            }
        });
        beginning.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// A connection with a session of its own. Not through a pooler in transaction mode, which keeps none.
    pub(super) async fn session(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.connections.acquire().await
    }

    /// Connections that this process may open.
    pub(super) fn max_connections(&self) -> u32 {
        self.connections.options().get_max_connections()
    }

    /// A connection that hears `NOTIFY`. Not through a pooler in transaction mode, which would forget what it listens to.
    pub async fn listener(&self) -> sqlx::Result<PgListener> {
        PgListener::connect_with(&self.connections).await
    }

    /// Opens this many connections at once and says how many a server answers on in time. They stay open.
    pub(super) async fn open_all(&self, wanted: u32, within: Duration) -> u32 {
        let open = async || -> sqlx::Result<PoolConnection<Postgres>> {
            let mut connection = self.connections.acquire().await?;
            connection.execute("select 1").await?;
            Ok(connection)
        };
        let mut opening: FuturesUnordered<_> = (0..wanted).map(|_| open()).collect();
        // Each is held until all are open, or it would be handed out twice.
        let mut opened = Vec::new();
        let open_all = async {
            while let Some(connection) = opening.next().await {
                opened.extend(connection.ok());
            }
        };
        let _ = tokio::time::timeout(within, open_all).await;
        u32::try_from(opened.len()).unwrap_or(wanted)
    }

    /// Closes all connections.
    pub async fn close(&self) {
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
        if !self.is_pooled() {
            return (&self.connections).fetch_many(query);
        }
        let pool = self.clone();
        // A caller relies on what it sees, so nothing is passed on before the commit.
        let answer = async move {
            let mut tx = pool.begin().await?;
            let answer: Vec<_> = (&mut *tx).fetch_many(query).try_collect().await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>(stream::iter(answer.into_iter().map(Ok)))
        };
        stream::once(answer).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if !self.is_pooled() {
            return (&self.connections).fetch_optional(query);
        }
        let pool = self.clone();
        Box::pin(async move {
            let mut tx = pool.begin().await?;
            let row = (&mut *tx).fetch_optional(query).await?;
            tx.commit().await?;
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
        assert!(BEGIN_POOLED.ends_with(&local.join("; ")), "{BEGIN_POOLED}");
    }
}
