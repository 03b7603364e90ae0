//! Group commit: operations of one kind that wait at the same moment run in one transaction.
//!
//! A commit costs about the same for one operation as for ten, and so does each statement on a set
//! of rows. An operation that finds no other waits for none ([`super::Batcher`]).
//!
//! Each caller hears its own outcome. If a transaction fails for another reason than an unavailable
//! database, its operations run again alone, so that one at fault costs no other. An operation whose
//! caller has gone, because it lost its lease or its patience, is left out.

use std::fmt;
use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::oneshot;

use super::batcher::{BatchLimits, BatchWork, Batcher};
use super::{Pool, is_unavailable, with_timeout};
use crate::telemetry::chain;

/// Operations that can share a transaction.
pub(crate) trait Grouped: fmt::Debug + Send + Sync + 'static {
    type Operation: fmt::Debug + Send + Sync + 'static;
    type Output: fmt::Debug + Send + 'static;

    /// Runs operations in a transaction that is then committed. Returns the output of each, in
    /// their order. Rows are locked in an order that all transactions share.
    fn run(
        &self,
        tx: &mut PgConnection,
        operations: &[Self::Operation],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Output>>> + Send;

    /// Called right before the commit of a group.
    fn before_commit(&self) {}

    /// Called right after it, before any caller hears of it.
    fn after_commit(&self) {}
}

/// Runs operations in groups. Clones share the queue.
#[derive(Debug)]
pub(crate) struct GroupCommit<G: Grouped>(Arc<Batcher<Committing<G>>>);

impl<G: Grouped> Clone for GroupCommit<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Committing<G> {
    db: Pool,
    operations: G,
}

/// An operation, and the caller that waits for its outcome.
#[derive(Debug)]
struct Waiting<G: Grouped> {
    operation: G::Operation,
    caller: oneshot::Sender<sqlx::Result<G::Output>>,
}

/// The callers are jobs, whose number is limited by their concurrency.
const LIMITS: BatchLimits =
    BatchLimits { waiting: usize::MAX, batch: 64, batch_bytes: usize::MAX, tasks: 1 };

impl<G: Grouped> GroupCommit<G> {
    pub(crate) fn new(db: Pool, operations: G) -> Self {
        Self(Batcher::new(Committing { db, operations }, LIMITS))
    }

    /// Runs the operation. It is committed when this returns `Ok`; after an error it may be.
    pub(crate) async fn run(&self, operation: G::Operation) -> sqlx::Result<G::Output> {
        let (caller, outcome) = oneshot::channel();
        // Never full: the queue has no limit.
        let _ = self.0.push(Waiting { operation, caller });
        // Without an answer if the group panicked.
        outcome.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

impl<G: Grouped> BatchWork for Committing<G> {
    type Entry = Waiting<G>;

    fn size_bytes(_: &Waiting<G>) -> usize {
        0
    }

    async fn run(&self, group: Vec<Waiting<G>>) {
        let waiting = group.into_iter().filter(|waiting| !waiting.caller.is_closed());
        let (operations, callers): (Vec<_>, Vec<_>) =
            waiting.map(|waiting| (waiting.operation, waiting.caller)).unzip();
        if operations.is_empty() {
            return;
        }
        match self.commit(&operations).await {
            Ok(outputs) => {
                for (caller, output) in callers.into_iter().zip(outputs) {
                    let _ = caller.send(Ok(output));
                }
            }
            Err(error) if operations.len() > 1 && !is_unavailable(&error) => {
                for (operation, caller) in operations.into_iter().zip(callers) {
                    if caller.is_closed() {
                        continue;
                    }
                    let alone = self.commit(&[operation]).await;
                    let _ = caller.send(alone.and_then(only));
                }
            }
            Err(error) => {
                if is_unavailable(&error) {
                    self.db
                        .health()
                        .report(&error, "cannot commit what jobs did; each tries again");
                }
                let mut callers = callers.into_iter();
                let first = callers.next();
                for caller in callers {
                    let copy = std::io::Error::other(chain(&error));
                    let _ = caller.send(Err(sqlx::Error::Io(copy)));
                }
                if let Some(first) = first {
                    let _ = first.send(Err(error));
                }
            }
        }
    }
}

impl<G: Grouped> Committing<G> {
    async fn commit(&self, operations: &[G::Operation]) -> sqlx::Result<Vec<G::Output>> {
        with_timeout(async {
            let mut tx = self.db.begin_by_key().await?;
            let outputs = self.operations.run(&mut tx, operations).await?;
            self.operations.before_commit();
            tx.commit().await?;
            self.operations.after_commit();
            Ok(outputs)
        })
        .await
    }
}

fn only<T>(outputs: Vec<T>) -> sqlx::Result<T> {
    outputs.into_iter().next().ok_or(sqlx::Error::WorkerCrashed)
}
