//! What becomes of a letter: the change of its state, the line in the timeline and the end of the attempt, in one
//! transaction that only the holder of the job's lease can commit.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::recipient::NoRecipient;
use super::{SendLetter, WhenUncertain, to_delivered};
use crate::consent::contact_overrides;
use crate::consent::suppression::{self, AddressFailure, AddressHash, SuppressionReason};
use crate::letters::evidence::{self, AttemptOutcome};
use crate::letters::reason::{self, GAVE_UP, UNCERTAIN};
use crate::letters::store::{self, Letter, State, Transition};
use crate::letters::transition;
use crate::mail::Address;
use crate::mail::SendError;
use crate::mail::send_error::enhanced_status;
use crate::queue::{self, Claim, Next, Outcome, RetryDecision, Retryable, Stopped, retry_policy};

/// A letter that may have been sent so often is not sent again: the merchant has it, or something is wrong that no copy will mend.
const MAX_DOUBTS: i32 = 3;

impl SendLetter {
    /// An earlier attempt ended between the commit of `sending` and that of the relay's answer. Goes by the policy; returns
    /// the letter where it is to be sent again.
    pub(super) async fn settle_interrupted(
        &self,
        claim: &Claim,
        mut letter: Letter,
    ) -> Result<Option<Letter>, Stopped> {
        tracing::warn!(
            letter.message_id = letter.message_id,
            "an earlier attempt ended in the midst of sending"
        );
        let mut tx = self.db.begin().await?;
        let resend = self.resends(&letter);
        if resend {
            queue::still_held(&mut *tx, claim).await?.or_stop()?;
        } else {
            queue::finish(&mut tx, claim, Outcome::Done, self.clock.now()).await?.or_stop()?;
        }
        self.doubt(&mut tx, &letter, "the process ended before the relay's answer was recorded")
            .await?;
        let to = if resend { State::Waiting } else { State::Held };
        let onward =
            Transition { from: State::Uncertain, to, reason: Some(UNCERTAIN), relay_reply: None };
        self.shift(&mut tx, &letter, &onward).await?;
        tx.commit().await?;
        tell(&letter, to, UNCERTAIN);
        letter.state = State::Waiting;
        letter.reason = Some(UNCERTAIN.to_owned());
        letter.uncertain_attempts += 1;
        Ok(resend.then_some(letter))
    }

    /// Whether a letter that is in doubt once more is sent again.
    fn resends(&self, letter: &Letter) -> bool {
        self.settings.when_uncertain == WhenUncertain::Resend
            && letter.uncertain_attempts + 1 < MAX_DOUBTS
    }

    /// `sent`, and Stripe is owed the word.
    pub(super) async fn record_sent(
        &self,
        claim: &Claim,
        letter: &Letter,
        to: &Address,
        answer: &str,
    ) -> Result<(), Stopped> {
        let now = self.clock.now();
        let sent = Transition {
            from: State::Sending,
            to: State::Sent,
            reason: None,
            relay_reply: Some(answer),
        };
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claim, Outcome::Done, now).await?.or_stop()?;
        self.shift(&mut tx, letter, &sent).await?;
        evidence::store::answer(&mut *tx, letter, AttemptOutcome::Sent, answer, now).await?;
        // Stripe is told of an offer once: a reminder owes it nothing.
        if letter.sequence == 0 {
            to_delivered::hand_over(&mut tx, letter, now).await?;
        }
        tx.commit().await?;
        crate::crash::point("letter.after_sent");
        self.jobs.notify();
        tracing::info!(letter.message_id = letter.message_id, letter.recipient = %to, relay.answer = answer, "sent letter");
        Ok(())
    }

    /// What becomes of the letter and of its job, together.
    pub(super) async fn record_failure(
        &self,
        claim: &Claim,
        letter: &Letter,
        to_address: &Address,
        error: &SendError,
    ) -> Result<(), Stopped> {
        let now = self.clock.now();
        let text = error.to_string();
        let (ending, to, reason) = self.consequence(claim, letter, error, &text);
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claim, ending, now).await?.or_stop()?;
        let from = if matches!(error, SendError::Unknown(_)) {
            self.doubt(&mut tx, letter, &text).await?;
            State::Uncertain
        } else {
            self.answer_refusal(&mut tx, letter, error).await?;
            letter.state
        };
        let onward = Transition { from, to, reason, relay_reply: Some(&text) };
        // A relay that is away says nothing about this letter, and may be away for long: the job's error is enough.
        if from == to && matches!(error, SendError::Unreachable(_) | SendError::RelayRefused(_)) {
            store::change(&mut *tx, &letter.letter_id, &onward, now).await?;
        } else {
            self.shift(&mut tx, letter, &onward).await?;
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
        tell(letter, to, &text);
        Ok(())
    }

    /// What follows from a failure: for the job, and for the letter with its reason.
    fn consequence<'a>(
        &self,
        claim: &Claim,
        letter: &Letter,
        error: &SendError,
        text: &'a str,
    ) -> (Outcome<'a>, State, Option<&'static str>) {
        let in_doubt = letter.uncertain_attempts > 0 || matches!(error, SendError::Unknown(_));
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
        let now = self.clock.now();
        let is_down = self.relay.circuit().is_open();
        let doubt = in_doubt.then_some(UNCERTAIN);
        match retry_policy(next, claim.attempt, self.max_attempts, is_down, rand::random()) {
            RetryDecision::Retry(pause) => {
                (Outcome::Retry { at: now + pause, error: text }, State::Waiting, doubt)
            }
            RetryDecision::Snooze(pause) => {
                (Outcome::Snooze { at: now + pause, error: text }, State::Waiting, doubt)
            }
            RetryDecision::Discard => {
                (Outcome::Discard { error: text }, State::Held, doubt.or(Some(GAVE_UP)))
            }
        }
    }

    /// The letter will not be sent.
    pub(super) async fn end(
        &self,
        claim: &Claim,
        letter: &Letter,
        to: State,
        reason: &str,
    ) -> Result<(), Stopped> {
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claim, Outcome::Done, self.clock.now()).await?.or_stop()?;
        let ended =
            Transition { from: State::Waiting, to, reason: Some(reason), relay_reply: None };
        self.shift(&mut tx, letter, &ended).await?;
        tx.commit().await?;
        tell(letter, to, reason);
        Ok(())
    }

    /// The letter waits for a better hour, which is no failure.
    pub(super) async fn postpone(&self, claim: &Claim, at: DateTime<Utc>) -> Result<(), Stopped> {
        let mut tx = self.db.begin().await?;
        // Not `Later`: that would begin to count attempts anew each evening.
        let ending =
            Outcome::Snooze { at, error: "a reminder waits for the merchant's working hours" };
        queue::finish(&mut tx, claim, ending, self.clock.now()).await?.or_stop()?;
        Ok(tx.commit().await?)
    }

    /// There is no address that works, until somebody says that one works again, or names another, or Stripe has another. One that was
    /// named since this was found out is taken up at once.
    pub(super) async fn hold_for_address(
        &self,
        claim: &Claim,
        letter: &Letter,
        nobody: &NoRecipient,
    ) -> Result<(), Stopped> {
        let (reason, now) = (nobody.reason(), self.clock.now());
        let held = Transition {
            from: State::Waiting,
            to: State::Held,
            reason: Some(reason),
            relay_reply: None,
        };
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claim, Outcome::Done, now).await?.or_stop()?;
        let is_held = transition::apply(&mut tx, letter, &held, now).await?;
        let suppressed = match nobody {
            NoRecipient::Refused(to) => Some(AddressHash::of(to.expose())),
            NoRecipient::None | NoRecipient::Bad => None,
        };
        if let Some(address) = &suppressed {
            suppression::store::link_letter(&mut *tx, &letter.letter_id, address).await?;
        }
        let held = Letter { state: State::Held, ..letter.clone() };
        if is_held
            && !contact_overrides::recipient_still_missing(
                &mut tx,
                &letter.account_id,
                suppressed.as_ref(),
            )
            .await?
        {
            transition::retry(&mut tx, &held, Some("the platform named another address"), now)
                .await?;
        }
        tx.commit().await?;
        tell(letter, State::Held, reason);
        Ok(())
    }

    /// The letter waits for its turn at the receiving domain. The attempt does not count: none was made.
    pub(super) async fn turn_away(&self, claim: &Claim, at: DateTime<Utc>) -> Result<(), Stopped> {
        let error = "as many letters are on their way to this domain as may be, or it takes no more for now";
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claim, Outcome::Snooze { at, error }, self.clock.now())
            .await?
            .or_stop()?;
        Ok(tx.commit().await?)
    }

    /// Nothing was left to do.
    pub(super) async fn finish(&self, claim: &Claim) -> Result<(), Stopped> {
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claim, Outcome::Done, self.clock.now()).await?.or_stop()?;
        Ok(tx.commit().await?)
    }

    /// A beginning that may or may not have been written down is taken back: nothing was handed over.
    pub(super) async fn take_back(&self, claim: &Claim, letter: &Letter) -> Result<(), Stopped> {
        let mut tx = self.db.begin().await?;
        queue::still_held(&mut *tx, claim).await?.or_stop()?;
        let reason = (letter.uncertain_attempts > 0).then_some(UNCERTAIN);
        let back =
            Transition { from: State::Sending, to: State::Waiting, reason, relay_reply: None };
        self.shift(&mut tx, letter, &back).await?;
        let why =
            "nothing was handed over: the database would not say whether this was written down";
        evidence::store::answer(
            &mut *tx,
            letter,
            AttemptOutcome::NotStarted,
            why,
            self.clock.now(),
        )
        .await?;
        Ok(tx.commit().await?)
    }

    /// `sending` to `uncertain`: the policy takes it on from there. The Message-ID stays.
    pub(super) async fn doubt(
        &self,
        tx: &mut PgConnection,
        letter: &Letter,
        why: &str,
    ) -> sqlx::Result<()> {
        let doubt = Transition {
            from: State::Sending,
            to: State::Uncertain,
            reason: Some(UNCERTAIN),
            relay_reply: Some(why),
        };
        self.shift(&mut *tx, letter, &doubt).await?;
        evidence::store::answer(tx, letter, AttemptOutcome::Unknown, why, self.clock.now()).await
    }

    /// What the relay said to a message that it was handed; before that there is nothing to prove.
    async fn answer_refusal(
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
        evidence::store::answer(tx, letter, outcome, &error.to_string(), self.clock.now()).await
    }

    pub(super) async fn shift(
        &self,
        tx: &mut PgConnection,
        letter: &Letter,
        to: &Transition<'_>,
    ) -> sqlx::Result<()> {
        transition::apply(tx, letter, to, self.clock.now()).await.map(drop)
    }
}

/// Says in the log what became of a letter that was not sent: loud only where a person must act.
fn tell(letter: &Letter, now: State, why: &str) {
    let message_id = &letter.message_id;
    match now {
        State::Held | State::Rejected => {
            tracing::error!(
                letter.message_id = message_id,
                letter.state = now.as_str(),
                why,
                "letter not sent: a person must look"
            );
        }
        State::Waiting | State::Sending | State::Uncertain => {
            tracing::warn!(
                letter.message_id = message_id,
                why,
                "letter not sent: another attempt follows"
            );
        }
        State::Withdrawn | State::Suppressed | State::Sent | State::Bounced => {
            tracing::info!(
                letter.message_id = message_id,
                letter.state = now.as_str(),
                why,
                "letter will not be sent"
            );
        }
    }
}
