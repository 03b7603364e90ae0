//! Changes a letter's state together with its timeline entry.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::reason::GAVE_UP;
use super::store::{self, Content, Letter, State, Transition};
use super::{SEND_JOB, evidence, sets};
use crate::offers::timeline::{self, Entries, Entry};
use crate::queue::{self, NewJob};

/// Changes the state and adds the timeline entry. Returns `false`, without any effect, if the
/// letter is not in `to.from`.
pub async fn apply(
    tx: &mut PgConnection,
    letter: &Letter,
    to: &Transition<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let is_changed = store::change(&mut *tx, &letter.letter_id, to, now).await?;
    if is_changed {
        let note = to.note.or(to.relay_reply).or(to.reason);
        add_entry(tx, letter, to.to, note, now).await?;
    }
    Ok(is_changed)
}

async fn add_entry(
    tx: &mut PgConnection,
    letter: &Letter,
    to: State,
    note: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let kind = format!("letter.{}", to.as_str());
    let entry = Entry { note, ..Entry::ours(&letter.offer_id, &letter.account_id, &kind, now) };
    timeline::add(tx, &entry, now).await
}

/// Whether sending began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    Sending,
    /// The letter has left `waiting`.
    NotWaiting,
    /// The approval of its wording was withdrawn.
    NotApproved,
}

/// An attempt that is about to begin.
#[derive(Clone, Copy, Debug)]
pub struct NewAttempt<'a> {
    /// Its `attempt` counts this one.
    pub letter: &'a Letter,
    pub content: &'a Content,
    /// The exact bytes.
    pub message: &'a [u8],
}

impl NewAttempt<'_> {
    /// The market whose approval it needs; none for test data.
    pub(super) fn market(&self) -> Option<String> {
        self.content.market.clone().filter(|_| self.content.needs_approval)
    }
}

/// Moves waiting letters to `sending` and records the attempts with their exact bytes, in the
/// caller's transaction: once it commits, they count as possibly sent. The attempt's evidence takes
/// the place of a timeline entry. Returns what became of each; unless that is [`Begun::Sending`],
/// nothing has changed.
pub async fn begin_all(
    tx: &mut PgConnection,
    attempts: &[NewAttempt<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Begun>> {
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    evidence::sets::begin_attempts(tx, attempts, now).await
}

/// Moves letters from `sending` to `sent`, each with the relay's answer, and adds the timeline
/// entries.
pub async fn record_all_sent(
    tx: &mut PgConnection,
    answers: &[(&Letter, &str)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sent = evidence::sets::record_all_sent(&mut *tx, answers, now).await?;
    let mut timeline = Entries::default();
    for (position, (letter, answer)) in answers.iter().enumerate() {
        if sent.contains(&letter.letter_id) {
            let entry = Entry::ours(&letter.offer_id, &letter.account_id, "letter.sent", now);
            timeline.add(position, &entry.with_note(answer));
        }
    }
    timeline.insert(tx, now).await
}

/// Moves an unsent letter to a final state and cancels its job.
pub async fn cancel(
    tx: &mut PgConnection,
    letter: &Letter,
    to: State,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let end = Transition { reason: Some(reason), ..Transition::between(letter.state, to) };
    // If another transaction changed the state, keep its job, or the letter would wait for ever.
    if apply(&mut *tx, letter, &end, now).await? {
        queue::cancel_all(tx, SEND_JOB, std::slice::from_ref(&letter.letter_id), now).await?;
    }
    Ok(())
}

/// Withdraws letters, each for its reason, and cancels their jobs. Returns the ids of those that
/// were still in the state that the caller saw; the caller records them in the timeline.
pub async fn withdraw_all(
    tx: &mut PgConnection,
    letters: &[(Letter, String)],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<String>> {
    if letters.is_empty() {
        return Ok(HashSet::new());
    }
    let withdrawn = sets::withdraw_all(&mut *tx, letters, now).await?;
    let ids: Vec<String> = withdrawn.iter().cloned().collect();
    queue::cancel_all(tx, SEND_JOB, &ids, now).await?;
    Ok(withdrawn)
}

/// Returns a stopped letter to `waiting` and restarts its job from the first attempt. `note` goes
/// to the timeline.
pub async fn retry(
    tx: &mut PgConnection,
    letter: &Letter,
    note: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let again = Transition { note, ..Transition::between(letter.state, State::Waiting) };
    apply(&mut *tx, letter, &again, now).await?;
    let job = NewJob::new(SEND_JOB, &letter.letter_id, now);
    // If its job has left, a new one waits for first letters like the old one.
    queue::requeue(tx, &NewJob { low_priority: letter.sequence > 0, ..job }).await?;
    Ok(())
}

/// Retries the announcement of an offer that Stripe still lists as undelivered, if its job was
/// discarded. At most once an hour, so that a letter that cannot be sent does not occupy every
/// reconciliation.
pub async fn retry_given_up(
    tx: &mut PgConnection,
    offer_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // Locks all letters of the offer, in the order that operators' requests take.
    let letters = store::lock_of_offer(&mut *tx, offer_id).await?;
    let is_given_up = |letter: &&Letter| {
        letter.sequence == 0
            && letter.state == State::Held
            && letter.reason.as_deref() == Some(GAVE_UP)
    };
    let Some(letter) = letters.iter().find(is_given_up) else { return Ok(()) };
    if queue::requeue_dead(&mut *tx, SEND_JOB, &letter.letter_id, now).await? {
        let note = Some("retried by reconciliation");
        let again = Transition { note, ..Transition::between(State::Held, State::Waiting) };
        apply(tx, letter, &again, now).await?;
        tracing::warn!(
            offer.id = offer_id,
            letter.id = letter.letter_id,
            "reconciliation retries a letter whose job was discarded"
        );
    }
    Ok(())
}
