//! Detects a pooler between this process and Postgres, and its mode
//! (<https://www.pgbouncer.org/features.html>). Detected at startup, because a session-mode client
//! behind a transaction-mode pooler loses statements unpredictably.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor, Row};

use super::health::with_limit;

/// The setting `database.pooler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// Detect it.
    Auto,
    /// A pooler in transaction mode.
    Transaction,
}

impl FromStr for Pooler {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match given {
            "auto" => Ok(Self::Auto),
            "transaction" => Ok(Self::Transaction),
            _ => Err("must be auto or transaction"),
        }
    }
}

/// How long a connection keeps its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolMode {
    /// For the session: Postgres itself, or a pooler in session mode.
    Session,
    /// For a transaction.
    Transaction,
    /// For a statement. Transactions are refused.
    Statement,
}

const LATE: &str =
    "no answer in time; a pooler in session mode gives none while its servers are all in use";

/// Not strictly alternating: a pooler that assigns two servers in turn would then give each
/// connection the same server every time.
const TURNS: [usize; 7] = [0, 1, 1, 0, 0, 1, 0];

/// Opens two connections and compares their servers: two open sessions share a server only if a
/// pooler assigns it per transaction.
pub(super) async fn detect(options: &PgConnectOptions, within: Duration) -> sqlx::Result<PoolMode> {
    let mut one = with_limit(within, LATE, PgConnection::connect_with(options)).await?;
    // A pooler in session mode assigns the server at the first statement.
    let first = with_limit(within, LATE, server_of(&mut one)).await?;
    if refuses_transactions(&mut one).await? {
        return Ok(PoolMode::Statement);
    }
    let compared = with_limit(within, LATE, async {
        let mut two = PgConnection::connect_with(options).await?;
        let second = server_of(&mut two).await?;
        let mut is_shared = first == second;
        for turn in TURNS {
            let (connection, expected) =
                if turn == 0 { (&mut one, first) } else { (&mut two, second) };
            is_shared |= server_of(connection).await? != expected;
        }
        two.close().await?;
        Ok(is_shared)
    });
    let is_shared = match compared.await {
        Ok(is_shared) => is_shared,
        // No server is free for a second connection, so the first keeps its own: session mode.
        // `open_for_service` counts the available connections later.
        Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => false,
        Err(error) => return Err(error),
    };
    one.close().await?;
    Ok(if is_shared { PoolMode::Transaction } else { PoolMode::Session })
}

/// Identifies the server by its process. A simple query, so nothing is prepared.
async fn server_of(connection: &mut PgConnection) -> sqlx::Result<i32> {
    connection.fetch_one(sqlx::raw_sql("select pg_backend_pid()")).await?.try_get(0)
}

async fn refuses_transactions(connection: &mut PgConnection) -> sqlx::Result<bool> {
    match sqlx::raw_sql("begin").execute(&mut *connection).await {
        Ok(_) => sqlx::raw_sql("rollback").execute(&mut *connection).await.map(|_| false),
        Err(sqlx::Error::Database(error)) if error.message().contains("statement pooling") => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
