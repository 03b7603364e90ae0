//! Acts on all dead jobs or on all events in a state, one transaction each, so that a crash leaves
//! the rest as it was.

use super::Instruction;
use super::acts::{self, ActError};
use crate::database::Pool;
use crate::flow::inbox;

/// Events per query.
const BATCH: i64 = 500;

/// The effect of an act on many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct BulkOutcome {
    pub done: usize,
    /// Those whose state does not allow it any more.
    pub skipped: usize,
}

impl BulkOutcome {
    fn add(&mut self, result: Result<(), ActError>) -> sqlx::Result<()> {
        match result {
            Ok(()) => self.done += 1,
            Err(ActError::Refused(_)) => self.skipped += 1,
            Err(ActError::Database(error)) => return Err(error),
        }
        Ok(())
    }
}

/// Retries every one of these dead jobs ([`dead_ids`](crate::queue::stats::dead_ids)). Calls `progress` after each.
pub async fn retry_jobs(
    db: &Pool,
    by: &Instruction,
    job_ids: &[i64],
    progress: impl Fn(),
) -> sqlx::Result<BulkOutcome> {
    let mut outcome = BulkOutcome::default();
    for job_id in job_ids {
        outcome.add(acts::retry_job(db, by, *job_id).await)?;
        progress();
    }
    Ok(outcome)
}

/// Has every event in a state read again, newest first. Calls `progress` after each.
pub async fn replay_events(
    db: &Pool,
    by: &Instruction,
    state: &str,
    progress: impl Fn(),
) -> sqlx::Result<BulkOutcome> {
    let mut outcome = BulkOutcome::default();
    let mut before = None;
    loop {
        // Each event once: one that cannot be read has this state again.
        let events = inbox::store::ids_in_state(db, state, before.as_ref(), BATCH).await?;
        for (_, event_id) in &events {
            outcome.add(acts::replay_event(db, by, event_id).await)?;
            progress();
        }
        match events.into_iter().next_back() {
            Some(last) => before = Some(last),
            None => return Ok(outcome),
        }
    }
}
