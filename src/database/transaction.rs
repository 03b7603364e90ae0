//! A transaction on a connection of the pool.

use std::ops::{Deref, DerefMut};

use sqlx::SqlStr;
use sqlx::postgres::{PgConnection, PgTransactionManager};
use sqlx_core::transaction::TransactionManager;

use super::Pool;
use super::warm::WarmConnection;

const OPEN: &str = "only the end of a transaction takes its connection";

/// As [`sqlx::Transaction`], but its connection returns to [`Pool`] itself (`database/warm.rs`).
/// Rolled back if it is dropped.
#[derive(Debug)]
pub struct Transaction {
    /// `None` once it has ended.
    connection: Option<WarmConnection>,
    pool: Pool,
}

impl Transaction {
    pub(super) async fn begin(pool: Pool, begin: Option<SqlStr>) -> sqlx::Result<Self> {
        let connection = pool.connection().await?;
        let mut transaction = Self { connection: Some(connection), pool };
        PgTransactionManager::begin(&mut transaction, begin).await?;
        Ok(transaction)
    }

    /// If this fails, it may have been committed.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        PgTransactionManager::commit(&mut self).await?;
        self.give_back();
        Ok(())
    }

    pub async fn rollback(mut self) -> sqlx::Result<()> {
        PgTransactionManager::rollback(&mut self).await?;
        self.give_back();
        Ok(())
    }

    fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection);
        }
    }
}

/// The `ROLLBACK` is sent by sqlx's pool, to which the connection goes.
impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            PgTransactionManager::start_rollback(connection);
        }
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect(OPEN)
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect(OPEN)
    }
}
