//! Group commit: operations of one kind that wait at the same moment run in one transaction.
//!
//! A commit costs about the same for one operation as for ten, and so does each statement on a set
//! of rows. An operation that finds no other waits for none ([`super::Batcher`]).
//!
//! Each caller hears its own outcome. If a transaction fails for another reason than an unavailable
//! database, its operations run again alone, so that one at fault, or one whose row another
//! transaction holds, costs no other. An operation whose caller has gone before the commit, because
//! it lost its lease or its patience, is left out.

use std::fmt;
use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::oneshot;

use super::batcher::{BatchLimits, BatchWork, Batcher};
use super::health::is_contention;
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
        operations: &[&Self::Operation],
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
        let Some((group, error)) = self.settle(group).await else { return };
        if group.len() > 1 && may_succeed_alone(&error) {
            for waiting in group {
                if let Some((alone, error)) = self.settle(vec![waiting]).await {
                    self.fail(alone, error);
                }
            }
        } else {
            self.fail(group, error);
        }
    }
}

impl<G: Grouped> Committing<G> {
    /// Commits the operations and answers their callers; returns them with the error if it cannot.
    async fn settle(&self, mut group: Vec<Waiting<G>>) -> Option<(Vec<Waiting<G>>, sqlx::Error)> {
        loop {
            group.retain(|waiting| !waiting.caller.is_closed());
            if group.is_empty() {
                return None;
            }
            match self.commit(&group).await {
                Ok(Some(outputs)) => {
                    for (waiting, output) in group.into_iter().zip(outputs) {
                        let _ = waiting.caller.send(Ok(output));
                    }
                    return None;
                }
                // A caller has gone meanwhile.
                Ok(None) => {}
                Err(error) => return Some((group, error)),
            }
        }
    }

    /// Commits the operations and returns their outputs; `None`, without any effect, if a caller
    /// has gone before the commit.
    async fn commit(&self, group: &[Waiting<G>]) -> sqlx::Result<Option<Vec<G::Output>>> {
        let operations: Vec<&G::Operation> = group.iter().map(|it| &it.operation).collect();
        with_timeout(async {
            let mut tx = self.db.begin_by_key().await?;
            let outputs = self.operations.run(&mut tx, &operations).await?;
            self.operations.before_commit();
            if group.iter().any(|waiting| waiting.caller.is_closed()) {
                tx.rollback().await?;
                return Ok(None);
            }
            tx.commit().await?;
            self.operations.after_commit();
            Ok(Some(outputs))
        })
        .await
    }

    /// The error is everybody's outcome.
    fn fail(&self, group: Vec<Waiting<G>>, error: sqlx::Error) {
        if is_unavailable(&error) && !is_contention(&error) {
            self.db.health().report(&error, "cannot commit what jobs did; each tries again");
        }
        let mut callers = group.into_iter().map(|waiting| waiting.caller);
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

/// Whether one operation may be at fault for all.
fn may_succeed_alone(error: &sqlx::Error) -> bool {
    is_contention(error) || !is_unavailable(error)
}
