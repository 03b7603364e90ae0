//! Pausing and resuming sending, with their entries in the log.

use super::Instruction;
use super::actions::Action;
use super::acts::ActError;
use crate::consent::opt_outs::Note;
use crate::database::{self, Pool};
use crate::letters::pauses::{self, Pause, Paused, Scope, UnsentCounts};

/// What ended, and what is left.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Resumed {
    /// `None` if exactly this scope was not paused.
    pub ended: Option<Pause>,
    /// The other pauses.
    pub in_force: Vec<Pause>,
    pub unsent: UnsentCounts,
}

/// Pauses a scope. When this returns, no letter in it begins to leave; the letters that are counted
/// as `sending` began before. A scope that is paused already stays as it is, and nothing is logged.
pub async fn pause(
    db: &Pool,
    by: &Instruction,
    scope: &Scope,
) -> Result<(Paused, UnsentCounts), ActError> {
    let reason = reason(by);
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let paused = pauses::pause(&mut tx, scope, &by.operator, reason, now).await?;
    let unsent = pauses::count_unsent(&mut tx).await?;
    if let Paused::Begun(pause) = &paused {
        let outcome = format!("paused {pause}; {} were being handed over", unsent.sending);
        let subject = format!("pause:{}", pause.pause_id);
        by.record(&mut tx, Action::new("sending.pause", subject, &outcome), now).await?;
    }
    tx.commit().await?;
    Ok((paused, unsent))
}

/// Ends the pause of exactly this scope: its letters are due at once.
pub async fn resume(db: &Pool, by: &Instruction, scope: &Scope) -> Result<Resumed, ActError> {
    let reason = reason(by);
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let ended = pauses::resume(&mut tx, scope, &by.operator, reason, now).await?;
    if let Some(pause) = &ended {
        let subject = format!("pause:{}", pause.pause_id);
        let outcome = format!("resumed {pause}");
        by.record(&mut tx, Action::new("sending.resume", subject, &outcome), now).await?;
    }
    let in_force = pauses::in_force(&mut *tx).await?;
    let unsent = pauses::count_unsent(&mut tx).await?;
    tx.commit().await?;
    Ok(Resumed { ended, in_force, unsent })
}

/// The emergency brake of a script must not fail for want of words.
fn reason(by: &Instruction) -> &str {
    by.reason.as_ref().map_or("not given", Note::as_str)
}
