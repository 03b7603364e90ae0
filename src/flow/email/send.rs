//! The `send_letter` job.
//!
//! What a crash leaves behind follows from the order of the commits:
//!
//! 1. Before `sending` is committed, nothing has been sent. The lease expires and the next worker
//!    starts over. The commit comes as late as SMTP allows: between the relay's 354 and the first
//!    byte of the message.
//! 2. After it, the letter may have been sent. The next worker finds `sending` and applies
//!    `email.when_uncertain`.
//! 3. The relay's reply, `sent` and the request to tell Stripe are committed together. This is
//!    retried for as long as the database is unavailable, because only this process knows the
//!    reply.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Settings;
use super::commits::{LetterCommits, NotBegun, Ready};
use super::decide::{Decider, SendDecision, SkipReason};
use super::metrics::LetterMetrics;
use crate::clock::Clock;
use crate::database::Pool;
use crate::letters::SEND_JOB;
use crate::letters::pauses::{self, Pause, SeenPauses};
use crate::letters::reason::{GAVE_UP, OPTED_OUT, UNCERTAIN};
use crate::letters::store::{self, Content, Letter, State, Transition};
use crate::letters::wording::{Disclaimers, TemplateError, Writer};
use crate::mail::mime::{self, AssembledMessage, MessageParts};
use crate::mail::per_domain::DomainSlot;
use crate::mail::sending_rate::{DayCount, SendingRate};
use crate::mail::{Address, DomainLimiter, Relay, SendError, mask};
use crate::queue::{
    self, AttemptError, Capacity, Circuit, Claim, Next, Notifier, Outcome, Retryable, Work,
    retry_until_recorded,
};
use crate::stripe::{self, AccountId, Cache};
use crate::telemetry::traces;

/// Executes the `send_letter` jobs.
pub struct SendLetter {
    pub db: Pool,
    pub clock: Clock,
    pub stripe: Cache,
    /// Stripe's and the relay's.
    pub circuits: [Circuit; 2],
    pub relay: Relay,
    pub sending_rate: SendingRate,
    pub domains: DomainLimiter,
    pub writer: Arc<Writer>,
    pub disclaimers: Disclaimers,
    pub settings: Settings,
    /// After this many failed attempts the letter is held.
    pub max_attempts: i32,
    pub commits: LetterCommits,
    pub pauses: SeenPauses,
    /// Wakes the `mark_delivered` worker.
    pub jobs: Notifier,
    pub metrics: LetterMetrics,
}

/// Why a message could not be prepared.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    #[error("cannot write the letter")]
    Write(#[from] TemplateError),
    #[error("cannot assemble the message")]
    Assemble(#[from] lettre::error::Error),
    #[error("the letter's row has an invalid Stripe id")]
    Id(#[from] stripe::IdError),
}

impl Retryable for PrepareError {
    fn next(&self) -> Next {
        match self {
            // Retrying does not help: templates and rows stay as they are.
            Self::Write(_) | Self::Assemble(_) | Self::Id(_) => Next::GiveUp,
        }
    }
}

impl Work for SendLetter {
    const KIND: &'static str = crate::letters::SEND_JOB;

    #[tracing::instrument(
        name = "letter.send", skip_all, fields(letter.id = %claim.subject, offer.id)
    )]
    async fn run(&self, claim: &Claim) -> Result<(), AttemptError> {
        traces::set_text("letter.id", &claim.subject);
        let letter = store::find(&self.db, &claim.subject).await?;
        let letter = match letter {
            Some(letter) if letter.state == State::Waiting => letter,
            Some(letter) if letter.state == State::Sending => {
                match self.resolve_interrupted(claim, letter).await? {
                    Some(letter) => letter,
                    None => return Ok(()),
                }
            }
            // Another worker or an operator finished it, or it was erased.
            Some(_) | None => return self.end_job(claim, Outcome::Done).await,
        };
        tracing::Span::current().record("offer.id", &letter.offer_id);
        traces::set_text("offer.id", &letter.offer_id);
        match Decider::new(self).decide(&letter).await? {
            SendDecision::Send(to, content) => match self.pause_of(&content).await? {
                Some(pause) => self.skip(claim, &letter, SkipReason::Paused(Box::new(pause))).await,
                None => Box::pin(self.send(claim, letter, to, *content)).await,
            },
            SendDecision::Skip(reason) => self.skip(claim, &letter, reason).await,
        }
    }

    fn dependencies(&self) -> &[Circuit] {
        &self.circuits
    }

    async fn is_paused(&self) -> sqlx::Result<bool> {
        let in_force = pauses::in_force(&self.db).await?;
        let all = in_force.iter().find(|pause| pause.stops_all());
        if let Some(pause) = all {
            self.pauses.log(pause);
        }
        let is_paused = all.is_some();
        self.pauses.update(in_force);
        Ok(is_paused)
    }

    fn is_limited(&self) -> bool {
        self.sending_rate.is_limited()
    }

    async fn capacity(&self, tx: &mut PgConnection, wanted: usize) -> sqlx::Result<Capacity> {
        self.sending_rate.capacity(tx, wanted, count_letters_since).await
    }

    async fn give_up(&self, tx: &mut PgConnection, claim: &Claim, error: &str) -> sqlx::Result<()> {
        let Some(letter) = store::find(&mut *tx, &claim.subject).await? else { return Ok(()) };
        if letter.state == State::Sending {
            self.mark_uncertain(&mut *tx, &letter, error).await?;
        }
        let waiting = if letter.uncertain_attempts > 0 { UNCERTAIN } else { GAVE_UP };
        for (from, reason) in [(State::Waiting, waiting), (State::Uncertain, UNCERTAIN)] {
            let held = Transition {
                reason: Some(reason),
                note: Some(error),
                ..Transition::between(from, State::Held)
            };
            self.apply(&mut *tx, &letter, &held).await?;
        }
        Ok(())
    }
}

impl SendLetter {
    /// The pause that stops a letter with this content, if one did when its job was claimed. Only
    /// spares the relay: `LetterCommits::begin` decides.
    async fn pause_of(&self, content: &Content) -> sqlx::Result<Option<Pause>> {
        if !self.pauses.stopped(content) {
            return Ok(None);
        }
        let in_force = pauses::in_force(&self.db).await?;
        Ok(in_force.into_iter().find(|pause| pause.stops(content)))
    }

    /// Opens the relay's data phase, commits `sending`, hands the message over and records the
    /// outcome.
    async fn send(
        &self,
        claim: &Claim,
        mut letter: Letter,
        to: Address,
        content: Content,
    ) -> Result<(), AttemptError> {
        let slot = match self.domains.acquire(to.domain()) {
            Ok(slot) => slot,
            Err(at) => return self.wait_for_domain(claim, at).await,
        };
        let message = self.assemble(&letter, &to, &content)?;
        let name = format!("{}-{}", letter.letter_id, letter.attempt + 1);
        let data_phase = match self.relay.open(&message.envelope, &name).await {
            Ok(data_phase) => data_phase,
            Err(error) => {
                return self.record_failure(claim, &letter, &to, &refused(error, &to, &slot)).await;
            }
        };
        // The message cannot be recalled after this point, so a process that is shutting down
        // leaves it to the next one.
        if claim.is_stopping() {
            return Err(AttemptError::Released);
        }
        crate::crash::point("letter.before_sending");
        // As its row is once `sending` is committed; nothing below reads the state before.
        letter.attempt += 1;
        letter.state = State::Sending;
        let ready = Arc::new(Ready { letter, content, message });
        let letter = &ready.letter;
        match self.commits.begin(claim, &ready).await {
            Ok(Ok(())) => {}
            Ok(Err(NotBegun::Skip(reason))) => return self.skip(claim, letter, reason).await,
            Ok(Err(NotBegun::LeaseLost)) => return Err(AttemptError::LeaseLost),
            // The commit may have succeeded despite the error. Only this process knows that nothing
            // was sent.
            Err(error) => {
                drop(data_phase);
                retry_until_recorded(claim, &self.db, || self.revert_sending(claim, letter))
                    .await?;
                return Err(error.into());
            }
        }
        // From here on the job is not released, even on shutdown: only this process learns the
        // reply.
        claim.begin_irreversible();
        crate::crash::point("letter.after_sending");
        let outcome = data_phase.hand_over(&ready.message.bytes).await;
        crate::crash::point("letter.after_relay");
        match outcome {
            Ok(answer) => {
                slot.record_accepted();
                let answer = mask::masked(&answer, &to);
                retry_until_recorded(claim, &self.db, || {
                    self.record_sent(claim, &ready, &to, &answer)
                })
                .await
            }
            Err(error) => {
                let error = refused(error, &to, &slot);
                retry_until_recorded(claim, &self.db, || {
                    self.record_failure(claim, letter, &to, &error)
                })
                .await
            }
        }
    }

    fn assemble(
        &self,
        letter: &Letter,
        to: &Address,
        content: &Content,
    ) -> Result<AssembledMessage, PrepareError> {
        let account_id: AccountId = letter.account_id.parse()?;
        let unsubscribe_url = self.settings.unsubscribe_url(&account_id);
        let parts = MessageParts {
            letter_id: &letter.letter_id,
            message_id: &letter.message_id,
            kind: &content.kind,
            locale: &content.locale,
            to,
            subject: &content.subject,
            text: &content.text,
            html: &content.html,
            unsubscribe_url: unsubscribe_url.as_ref(),
            at: self.clock.now(),
        };
        Ok(mime::assemble(&parts, &self.settings.sender)?)
    }

    /// Records why the message was not handed over.
    async fn skip(
        &self,
        claim: &Claim,
        letter: &Letter,
        reason: SkipReason,
    ) -> Result<(), AttemptError> {
        match reason {
            SkipReason::Withdraw(reason) => {
                self.close(claim, letter, State::Withdrawn, &reason).await
            }
            SkipReason::Suppress => self.close(claim, letter, State::Suppressed, OPTED_OUT).await,
            SkipReason::Hold(reason) => self.close(claim, letter, State::Held, reason).await,
            SkipReason::Defer(at) => self.snooze_until(claim, at).await,
            SkipReason::HoldWithoutRecipient(missing) => {
                self.hold_without_recipient(claim, letter, &missing).await
            }
            SkipReason::Paused(pause) => self.put_off(claim, &pause).await,
            SkipReason::NotWaiting => self.end_job(claim, Outcome::Done).await,
        }
    }
}

/// Letters sent since a moment, plus those that a worker holds now. Counts the held ones first: a
/// letter sent between the two counts is then counted twice, which is safe, and never missed.
async fn count_letters_since(
    tx: &mut PgConnection,
    since: DateTime<Utc>,
) -> sqlx::Result<DayCount> {
    let in_progress = queue::claimed_count(&mut *tx, SEND_JOB).await?;
    let sent = store::sent_since(tx, since).await?;
    Ok(DayCount { sent, in_progress })
}

/// Reports the error to the domain limiter and masks the recipient's address in it.
fn refused(error: SendError, to: &Address, slot: &DomainSlot) -> SendError {
    slot.record_error(&error);
    error.map(|text| mask::masked(&text, to))
}
