//! Records the outcome of an attempt: the letter's state, its timeline entry and the end of the
//! job, in one transaction that only the holder of the job's lease can commit.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::commits::Ready;
use super::metrics::{INTERRUPTED, NOT_STARTED, UNKNOWN};
use super::recipient::NoRecipient;
use super::{SendLetter, WhenUncertain, to_delivered};
use crate::consent::contact_overrides;
use crate::consent::suppression::{self, AddressFailure, AddressHash, SuppressionReason};
use crate::letters::evidence::{self, AttemptOutcome};
use crate::letters::pauses::{self, PUT_OFF, Pause, RECHECK_INTERVAL};
use crate::letters::reason::{self, GAVE_UP, UNCERTAIN, explain, remedy};
use crate::letters::store::{self, Letter, State, Transition};
use crate::letters::transition;
use crate::mail::send_error::enhanced_status;
use crate::mail::{Address, SendError};
use crate::queue::{
    self, AttemptError, Claim, Next, Outcome, RetryDecision, Retryable, retry_policy,
};

/// After this many attempts with unknown outcome the letter is held: the merchant probably has it,
/// or another copy would not help.
const MAX_UNCERTAIN_ATTEMPTS: i32 = 3;

impl SendLetter {
    /// Handles an attempt that ended between the commit of `sending` and the commit of the relay's
    /// reply. Applies `email.when_uncertain`; returns the letter if it is to be sent again.
    pub(super) async fn resolve_interrupted(
        &self,
        claim: &Claim,
        mut letter: Letter,
    ) -> Result<Option<Letter>, AttemptError> {
        tracing::warn!(
            letter.message_id = letter.message_id,
            "an earlier attempt ended while sending"
        );
        let mut tx = self.db.begin().await?;
        let resend = self.resends(&letter);
        // The fence comes first: without the lease, nothing below may be written.
        if resend {
            queue::lock_claim(&mut *tx, claim).await?;
        } else {
            queue::finish(&mut *tx, claim, Outcome::Done, self.clock.now()).await?;
        }
        self.mark_uncertain(
            &mut tx,
            &letter,
            "the process ended before the relay's answer was recorded",
        )
        .await?;
        let to = if resend { State::Waiting } else { State::Held };
        let next =
            Transition { reason: Some(UNCERTAIN), ..Transition::between(State::Uncertain, to) };
        self.apply(&mut tx, &letter, &next).await?;
        tx.commit().await?;
        self.metrics.doubt(INTERRUPTED);
        self.report(&letter, to, UNCERTAIN);
        letter.state = State::Waiting;
        letter.reason = Some(UNCERTAIN.to_owned());
        letter.uncertain_attempts += 1;
        Ok(resend.then_some(letter))
    }

    fn resends(&self, letter: &Letter) -> bool {
        self.settings.when_uncertain == WhenUncertain::Resend
            && letter.uncertain_attempts + 1 < MAX_UNCERTAIN_ATTEMPTS
    }

    /// Records the relay's acceptance and requests the report to Stripe.
    pub(super) async fn record_sent(
        &self,
        claim: &Claim,
        ready: &Arc<Ready>,
        to: &Address,
        answer: &str,
    ) -> Result<(), AttemptError> {
        if !self.commits.record_sent(claim, ready, answer).await? {
            return Err(AttemptError::LeaseLost);
        }
        claim.set_done();
        self.metrics.sent(&ready.letter, self.clock.now());
        self.jobs.notify_kind(to_delivered::NEXT_JOB);
        tracing::info!(
            letter.message_id = ready.letter.message_id,
            letter.recipient = %to,
            relay.answer = answer,
            "sent letter"
        );
        Ok(())
    }

    /// Records a failed attempt: the letter's next state and the job's outcome.
    pub(super) async fn record_failure(
        &self,
        claim: &Claim,
        letter: &Letter,
        to_address: &Address,
        error: &SendError,
    ) -> Result<(), AttemptError> {
        let now = self.clock.now();
        let text = error.to_string();
        let (job_outcome, to, reason) = self.failure_outcome(claim, letter, error, &text);
        let mut tx = self.db.begin().await?;
        // The fence comes first, as in `resolve_interrupted`.
        queue::finish(&mut *tx, claim, job_outcome, now).await?;
        let from = if matches!(error, SendError::Unknown(_)) {
            self.mark_uncertain(&mut tx, letter, &text).await?;
            State::Uncertain
        } else {
            self.record_reply(&mut tx, letter, error).await?;
            letter.state
        };
        let next = Transition { reason, relay_reply: Some(&text), ..Transition::between(from, to) };
        // An unreachable relay says nothing about this letter and may stay away for long: the job's
        // error is enough, and the timeline stays readable.
        if from == to && matches!(error, SendError::Unreachable(_) | SendError::RelayRefused(_)) {
            store::change(&mut *tx, &letter.letter_id, &next, now).await?;
        } else {
            self.apply(&mut tx, letter, &next).await?;
        }
        if matches!(error, SendError::AddressRefused(_)) {
            let address = AddressHash::of(to_address.expose());
            let found = AddressFailure {
                address,
                reason: SuppressionReason::Refused,
                status: &enhanced_status(&text),
            };
            suppression::record(&mut tx, letter, &found, now).await?;
        }
        tx.commit().await?;
        if matches!(error, SendError::Unknown(_)) {
            self.metrics.doubt(UNKNOWN);
        }
        self.report(letter, to, &text);
        Ok(())
    }

    /// The job's outcome, the letter's next state and its reason.
    fn failure_outcome<'a>(
        &self,
        claim: &Claim,
        letter: &Letter,
        error: &SendError,
        text: &'a str,
    ) -> (Outcome<'a>, State, Option<&'static str>) {
        // Once uncertain, a letter keeps that reason: a copy may have been delivered.
        let is_uncertain = letter.uncertain_attempts > 0 || matches!(error, SendError::Unknown(_));
        let next = match error {
            SendError::AddressRefused(_) => {
                return (Outcome::Done, State::Rejected, Some(reason::ADDRESS_REFUSED));
            }
            SendError::LetterRefused(_) => {
                return (Outcome::Done, State::Rejected, Some(reason::RELAY_REFUSED));
            }
            SendError::Unknown(_) if !self.resends(letter) => {
                return (Outcome::Done, State::Held, Some(UNCERTAIN));
            }
            SendError::Unknown(_) => Next::TryAgain,
            SendError::Unreachable(_)
            | SendError::RelayRefused(_)
            | SendError::Deferred(_)
            | SendError::Throttled(_) => error.next(),
        };
        let is_down = self.relay.circuit().is_open();
        let uncertain = is_uncertain.then_some(UNCERTAIN);
        let decision =
            retry_policy(next, claim.attempt, self.max_attempts, is_down, rand::random());
        let (to, reason) = match decision {
            RetryDecision::Retry(_) | RetryDecision::Snooze(_) => (State::Waiting, uncertain),
            RetryDecision::Discard => (State::Held, uncertain.or(Some(GAVE_UP))),
        };
        (decision.outcome(self.clock.now(), text), to, reason)
    }

    /// Completes the job of a letter that will not be sent.
    pub(super) async fn close(
        &self,
        claim: &Claim,
        letter: &Letter,
        to: State,
        reason: &str,
    ) -> Result<(), AttemptError> {
        let mut tx = self.db.begin().await?;
        queue::finish(&mut *tx, claim, Outcome::Done, self.clock.now()).await?;
        let ended = Transition { reason: Some(reason), ..Transition::between(State::Waiting, to) };
        self.apply(&mut tx, letter, &ended).await?;
        tx.commit().await?;
        self.report(letter, to, reason);
        Ok(())
    }

    /// Waits for the merchant's sending hours. This does not count as a failed attempt.
    pub(super) async fn snooze_until(
        &self,
        claim: &Claim,
        at: DateTime<Utc>,
    ) -> Result<(), AttemptError> {
        // Not `Reschedule`, which would reset the attempt count every evening.
        let error = "a reminder waits for the merchant's working hours";
        self.end_job(claim, Outcome::Snooze { at, error }).await
    }

    /// Puts off a letter that a pause stops. This does not count as an attempt.
    pub(super) async fn put_off(&self, claim: &Claim, pause: &Pause) -> Result<(), AttemptError> {
        self.pauses.log(pause);
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // The fence comes first. Then the pause, which may have ended meanwhile: `resume` makes due
        // what was put off before it, and cannot see what is put off after it.
        queue::lock_claim(&mut *tx, claim).await?;
        let holds = pauses::holds(&mut tx, pause).await?;
        let at = if holds { now + RECHECK_INTERVAL } else { now };
        queue::finish(&mut *tx, claim, Outcome::Snooze { at, error: PUT_OFF }, now).await?;
        Ok(tx.commit().await?)
    }

    /// Holds a letter until its account has a working address. If the platform named another
    /// address in the meantime, the letter is retried at once.
    pub(super) async fn hold_without_recipient(
        &self,
        claim: &Claim,
        letter: &Letter,
        missing: &NoRecipient,
    ) -> Result<(), AttemptError> {
        let (reason, now) = (missing.reason(), self.clock.now());
        let held =
            Transition { reason: Some(reason), ..Transition::between(State::Waiting, State::Held) };
        let mut tx = self.db.begin().await?;
        queue::finish(&mut *tx, claim, Outcome::Done, now).await?;
        let is_held = transition::apply(&mut tx, letter, &held, now).await?;
        let suppressed = match missing {
            NoRecipient::Suppressed(address) => Some(address),
            NoRecipient::Missing | NoRecipient::Invalid(_) => None,
        };
        if let Some(address) = suppressed {
            store::link_suppressed_address(&mut *tx, &letter.letter_id, address.as_bytes()).await?;
        }
        // After the letter is held: an address set before this transaction is visible here, one set
        // after it finds the held letter and retries it.
        let held = Letter { state: State::Held, ..letter.clone() };
        let account_id = &letter.account_id;
        if is_held
            && !contact_overrides::recipient_still_missing(&mut tx, account_id, suppressed).await?
        {
            transition::retry(&mut tx, &held, Some("the platform set another address"), now)
                .await?;
        }
        tx.commit().await?;
        self.report(letter, State::Held, reason);
        Ok(())
    }

    /// Waits for capacity at the receiving domain. This does not count as an attempt.
    pub(super) async fn wait_for_domain(
        &self,
        claim: &Claim,
        at: DateTime<Utc>,
    ) -> Result<(), AttemptError> {
        let error = "the receiving domain is at its limit or asked to slow down";
        self.end_job(claim, Outcome::Snooze { at, error }).await
    }

    /// Ends the attempt without touching the letter.
    pub(super) async fn end_job(
        &self,
        claim: &Claim,
        outcome: Outcome<'_>,
    ) -> Result<(), AttemptError> {
        queue::finish(&self.db, claim, outcome, self.clock.now()).await
    }

    /// Reverts `sending` after a commit with unknown outcome. Nothing was handed to the relay.
    pub(super) async fn revert_sending(
        &self,
        claim: &Claim,
        letter: &Letter,
    ) -> Result<(), AttemptError> {
        let mut tx = self.db.begin().await?;
        queue::lock_claim(&mut *tx, claim).await?;
        let reason = (letter.uncertain_attempts > 0).then_some(UNCERTAIN);
        let back = Transition { reason, ..Transition::between(State::Sending, State::Waiting) };
        self.apply(&mut tx, letter, &back).await?;
        let why = "nothing was handed over: the outcome of the commit was unknown";
        evidence::store::record_result(
            &mut *tx,
            letter,
            AttemptOutcome::NotStarted,
            why,
            self.clock.now(),
        )
        .await?;
        tx.commit().await?;
        self.metrics.doubt(NOT_STARTED);
        Ok(())
    }

    /// Moves the letter from `sending` to `uncertain`. The caller then applies the policy.
    pub(super) async fn mark_uncertain(
        &self,
        tx: &mut PgConnection,
        letter: &Letter,
        why: &str,
    ) -> sqlx::Result<()> {
        let uncertain = Transition {
            reason: Some(UNCERTAIN),
            relay_reply: Some(why),
            ..Transition::between(State::Sending, State::Uncertain)
        };
        self.apply(&mut *tx, letter, &uncertain).await?;
        evidence::store::record_result(tx, letter, AttemptOutcome::Unknown, why, self.clock.now())
            .await
    }

    /// Records the relay's reply to a message. Before `sending` there is no attempt to attach it
    /// to.
    async fn record_reply(
        &self,
        tx: &mut PgConnection,
        letter: &Letter,
        error: &SendError,
    ) -> sqlx::Result<()> {
        let outcome = match error {
            _ if letter.state != State::Sending => return Ok(()),
            SendError::AddressRefused(_) | SendError::LetterRefused(_) => AttemptOutcome::Rejected,
            SendError::Unreachable(_)
            | SendError::RelayRefused(_)
            | SendError::Deferred(_)
            | SendError::Throttled(_) => AttemptOutcome::Deferred,
            SendError::Unknown(_) => AttemptOutcome::Unknown,
        };
        evidence::store::record_result(tx, letter, outcome, &error.to_string(), self.clock.now())
            .await
    }

    /// Counts and logs a letter that was not sent.
    fn report(&self, letter: &Letter, state: State, reason: &str) {
        self.metrics.ended(state);
        log_outcome(letter, state, reason);
    }

    pub(super) async fn apply(
        &self,
        tx: &mut PgConnection,
        letter: &Letter,
        to: &Transition<'_>,
    ) -> sqlx::Result<()> {
        transition::apply(tx, letter, to, self.clock.now()).await.map(drop)
    }
}

/// Logs a letter that was not sent: as an error only if an operator must act.
fn log_outcome(letter: &Letter, state: State, reason: &str) {
    let message_id = &letter.message_id;
    match state {
        State::Held | State::Rejected => {
            tracing::error!(
                letter.message_id = message_id,
                letter.state = state.as_str(),
                account.id = letter.account_id,
                reason,
                "letter needs an operator: {}: {}",
                explain(reason),
                remedy(reason)
            );
        }
        State::Waiting | State::Sending | State::Uncertain => {
            tracing::warn!(
                letter.message_id = message_id,
                reason,
                "letter not sent: another attempt follows"
            );
        }
        State::Withdrawn | State::Suppressed | State::Sent | State::Bounced => {
            tracing::info!(
                letter.message_id = message_id,
                letter.state = state.as_str(),
                reason,
                "letter will not be sent"
            );
        }
    }
}
