//! Whether a pooler stands between us and Postgres, and in which mode (<https://www.pgbouncer.org/features.html>): asked at the start,
//! because in the wrong one statements get lost, and what is lost differs from run to run.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor, Row};

use super::health::with_limit;

/// What the settings say of a pooler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// Find out.
    Auto,
    /// There is one, in transaction mode.
    Transaction,
}

impl FromStr for Pooler {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match given {
            "auto" => Ok(Self::Auto),
            "transaction" => Ok(Self::Transaction),
            _ => Err("auto or transaction"),
        }
    }
}

/// What a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// To a server of its own: Postgres itself, or a pooler in session mode.
    Server,
    /// To another server for each transaction.
    EachTransaction,
    /// To another server for each statement: transactions are refused.
    EachStatement,
}

const LATE: &str =
    "no answer in time; a pooler in session mode gives none while its servers are all in use";

/// In turn, and not strictly: a pooler that hands out two servers in turn would give each of us always the same.
const TURNS: [usize; 7] = [0, 1, 1, 0, 0, 1, 0];

/// Finds out what connections lead to: two that are open at the same time never share a server, unless a pooler hands it from one to
/// the other.
pub(super) async fn find(options: &PgConnectOptions, within: Duration) -> sqlx::Result<Found> {
    let mut one = with_limit(within, LATE, PgConnection::connect_with(options)).await?;
    // The first statement is what a pooler in session mode finds a server for.
    let first = with_limit(within, LATE, server_of(&mut one)).await?;
    if refuses_transactions(&mut one).await? {
        return Ok(Found::EachStatement);
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
        // No server is left for a second one: this one keeps its own, so that is session mode. How many there are is counted later.
        Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => false,
        Err(error) => return Err(error),
    };
    one.close().await?;
    Ok(if is_shared { Found::EachTransaction } else { Found::Server })
}

/// By the process that answers. A simple query: nothing is prepared.
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
