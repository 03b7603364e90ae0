//! The job that sends a letter: look again at the offer, find the recipient, write, hand over, record.
//!
//! What a crash leaves behind is in the order of the commits:
//!
//! 1. before `sending` is committed nothing has left: the lease runs out, the next worker begins again. That commit comes as late
//!    as SMTP allows, between the relay's 354 and the first byte of the message;
//! 2. after it the letter may have been sent: the next worker finds `sending` and goes by `email.when_uncertain`;
//! 3. with the relay's answer `sent` is committed together with the debt to Stripe. That is tried for as long as the database is
//!    away: nobody else knows the answer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Settings;
use super::decide::Decision;
use super::recipient::NoRecipient;
use crate::clock::Clock;
use crate::consent::opt_outs;
use crate::consent::suppression::{self, AddressHash};
use crate::database::{DatabaseHealth, Pool};
use crate::letters::reason::{GAVE_UP, OPTED_OUT, UNCERTAIN};
use crate::letters::store::{self, Content, Letter, State, Transition};
use crate::letters::wording::Disclaimers;
use crate::letters::wording::{TemplateError, Writer};
use crate::letters::{SEND_JOB, evidence};
use crate::mail::Address;
use crate::mail::mask;
use crate::mail::mime::{self, AssembledMessage, MessageParts};
use crate::mail::per_domain::DomainSlot;
use crate::mail::sending_rate::{DayCount, SendingRate};
use crate::mail::{DomainLimiter, Relay, SendError};
use crate::offers;
use crate::queue::{
    self, Capacity, Circuit, Claim, Next, Notifier, Retryable, Stopped, Work, retry_until_recorded,
};
use crate::stripe::{self, AccountId, Cache, OfferStatus};

/// Sends letters.
#[derive(Debug)]
pub struct SendLetter {
    /// Where the letters are.
    pub db: Pool,
    /// Observation of a database that would not take an outcome.
    pub database_health: DatabaseHealth,
    /// When things happen.
    pub clock: Clock,
    /// Whom to ask about the offer and the account.
    pub stripe: Cache,
    /// Whom it leans on: Stripe and the relay.
    pub circuits: [Circuit; 2],
    /// Who takes the letters.
    pub relay: Relay,
    /// How many letters may be begun now.
    pub sending_rate: SendingRate,
    /// Which receiving domains take one more.
    pub domains: DomainLimiter,
    /// Who writes them.
    pub writer: Writer,
    /// What stands under them.
    pub disclaimers: Disclaimers,
    /// What they need.
    pub settings: Settings,
    /// Tries before a letter is held.
    pub max_attempts: i32,
    /// How long a claim lasts.
    pub lease: Duration,
    /// Rung when Stripe is owed a word.
    pub jobs: Notifier,
}

/// Why no attempt at sending could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    #[error("cannot write the letter")]
    Write(#[from] TemplateError),
    #[error("cannot put the message together")]
    Assemble(#[from] lettre::error::Error),
    #[error("an id in the letter's row is none of Stripe's")]
    Id(#[from] stripe::IdError),
}

impl Retryable for PrepareError {
    fn next(&self) -> Next {
        match self {
            // The same words would come out wrong again: templates and rows do not change by waiting.
            Self::Write(_) | Self::Assemble(_) | Self::Id(_) => Next::GiveUp,
        }
    }
}

impl Work for SendLetter {
    const KIND: &'static str = crate::letters::SEND_JOB;

    #[tracing::instrument(name = "letter.send", skip_all, fields(letter.id = %claim.subject, offer.id))]
    async fn run(&self, claim: &Claim) -> Result<(), Stopped> {
        let letter = store::find(&self.db, &claim.subject).await?;
        let letter = match letter {
            Some(letter) if letter.state == State::Waiting => letter,
            Some(letter) if letter.state == State::Sending => {
                match self.settle_interrupted(claim, letter).await? {
                    Some(letter) => letter,
                    None => return Ok(()),
                }
            }
            // Somebody settled it, or there is none: nothing is left to do.
            Some(_) | None => return self.finish(claim).await,
        };
        tracing::Span::current().record("offer.id", &letter.offer_id);
        match self.decide(&letter).await? {
            Decision::Send(to, content) => Box::pin(self.send(claim, letter, to, &content)).await,
            Decision::Withdraw(reason) => self.end(claim, &letter, State::Withdrawn, &reason).await,
            Decision::Suppress => self.end(claim, &letter, State::Suppressed, OPTED_OUT).await,
            Decision::Hold(reason) => self.end(claim, &letter, State::Held, reason).await,
            Decision::Later(at) => self.postpone(claim, at).await,
            Decision::HoldForAddress(nobody) => {
                self.hold_for_address(claim, &letter, &nobody).await
            }
        }
    }

    fn dependencies(&self) -> &[Circuit] {
        &self.circuits
    }

    fn is_limited(&self) -> bool {
        self.sending_rate.is_limited()
    }

    async fn capacity(&self, tx: &mut PgConnection, wanted: usize) -> sqlx::Result<Capacity> {
        self.sending_rate.capacity(tx, wanted, letters_since).await
    }

    async fn give_up(&self, tx: &mut PgConnection, claim: &Claim, error: &str) -> sqlx::Result<()> {
        let Some(letter) = store::find(&mut *tx, &claim.subject).await? else { return Ok(()) };
        if letter.state == State::Sending {
            self.doubt(&mut *tx, &letter, error).await?;
        }
        let waiting = if letter.uncertain_attempts > 0 { UNCERTAIN } else { GAVE_UP };
        for (from, reason) in [(State::Waiting, waiting), (State::Uncertain, UNCERTAIN)] {
            let held = Transition {
                from,
                to: State::Held,
                reason: Some(reason),
                relay_reply: Some(error),
            };
            self.shift(&mut *tx, &letter, &held).await?;
        }
        Ok(())
    }
}

impl SendLetter {
    /// Has the relay wait for the message, commits `sending`, hands the message over and writes down what came of it.
    async fn send(
        &self,
        claim: &Claim,
        mut letter: Letter,
        to: Address,
        content: &Content,
    ) -> Result<(), Stopped> {
        let place = match self.domains.acquire(to.domain()) {
            Ok(place) => place,
            Err(at) => return self.turn_away(claim, at).await,
        };
        let ready = self.assemble(&letter, &to, content)?;
        let name = format!("{}-{}", letter.letter_id, letter.attempt + 1);
        let data_phase = match self.relay.open(&ready.envelope, &name).await {
            Ok(data_phase) => data_phase,
            Err(error) => {
                return self
                    .record_failure(claim, &letter, &to, &refused(error, &to, &place))
                    .await;
            }
        };
        // What is begun after this cannot be taken back; a process that is about to end leaves it to the next.
        if claim.is_stopping() {
            return Err(Stopped::Released);
        }
        crate::crash::point("letter.before_sending");
        letter.attempt += 1;
        match self.begin(claim, &letter, content, &ready.bytes).await {
            Ok(Begun::Yes) => letter.state = State::Sending,
            Ok(Begun::No(instead)) => return self.leave(claim, &letter, &to, instead).await,
            // The commit may have come through all the same. That nothing was sent is known here and nowhere else.
            Err(Stopped::Failed(error)) => {
                drop(data_phase);
                retry_until_recorded(claim, &self.database_health, || {
                    self.take_back(claim, &letter)
                })
                .await?;
                return Err(Stopped::Failed(error));
            }
            Err(stopped) => return Err(stopped),
        }
        claim.hands_over();
        crate::crash::point("letter.after_sending");
        let outcome = data_phase.hand_over(&ready.bytes).await;
        crate::crash::point("letter.after_relay");
        match outcome {
            Ok(answer) => {
                place.record_accepted();
                let answer = mask::masked(&answer, &to);
                retry_until_recorded(claim, &self.database_health, || {
                    self.record_sent(claim, &letter, &to, &answer)
                })
                .await
            }
            Err(error) => {
                let error = refused(error, &to, &place);
                retry_until_recorded(claim, &self.database_health, || {
                    self.record_failure(claim, &letter, &to, &error)
                })
                .await
            }
        }
    }

    /// The message as it goes over the wire.
    fn assemble(
        &self,
        letter: &Letter,
        to: &Address,
        content: &Content,
    ) -> Result<AssembledMessage, PrepareError> {
        let account_id: AccountId = letter.account_id.parse()?;
        let unsubscribe_url = self.unsubscribe_url(&account_id);
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

    /// Writes down that the message is about to be handed over, with a whole lease ahead: a worker that was stopped for longer
    /// than its lease finds out here, before anything is sent. So does one whose offer ended since Stripe was asked, whose account
    /// wants no letters any more, or whose address turned out to be none: whatever told so either stopped the letter or is seen here.
    async fn begin(
        &self,
        claim: &Claim,
        letter: &Letter,
        content: &Content,
        message: &[u8],
    ) -> Result<Begun, Stopped> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        queue::renew(&mut *tx, claim, self.lease, now).await?.or_stop()?;
        let status = offers::store::hold_status(&mut tx, &letter.offer_id).await?;
        if let Some(status) = status.filter(OfferStatus::is_past_undelivered)
            && !self.is_open(&mut tx, letter, &status).await?
        {
            return Ok(Begun::No(Instead::OfferEnded(format!("offer_{status}"))));
        }
        if opt_outs::store::is_opted_out(&mut *tx, &letter.account_id).await? {
            return Ok(Begun::No(Instead::OptedOut));
        }
        if suppression::store::is_suppressed(&mut *tx, &AddressHash::of(&content.recipient)).await?
        {
            return Ok(Begun::No(Instead::AddressRefused));
        }
        if !store::begin_sending(&mut *tx, &letter.letter_id, content, now).await? {
            return Ok(Begun::No(Instead::Settled));
        }
        evidence::store::begin(&mut *tx, letter, content, message, now).await?;
        tx.commit().await?;
        Ok(Begun::Yes)
    }

    /// Nothing is handed over after all.
    async fn leave(
        &self,
        claim: &Claim,
        letter: &Letter,
        to: &Address,
        instead: Instead,
    ) -> Result<(), Stopped> {
        match instead {
            Instead::Settled => self.finish(claim).await,
            Instead::OfferEnded(reason) => self.end(claim, letter, State::Withdrawn, &reason).await,
            Instead::OptedOut => self.end(claim, letter, State::Suppressed, OPTED_OUT).await,
            Instead::AddressRefused => {
                self.hold_for_address(claim, letter, &NoRecipient::Refused(to.clone())).await
            }
        }
    }
}

/// Letters that were sent since a moment, plus those that a worker holds now. A letter sent between
/// the two counts is counted twice, which is safe; in the other order it would be missed.
async fn letters_since(tx: &mut PgConnection, since: DateTime<Utc>) -> sqlx::Result<DayCount> {
    let in_progress = queue::claimed_count(&mut *tx, SEND_JOB).await?;
    let sent = store::sent_since(tx, since).await?;
    Ok(DayCount { sent, in_progress })
}

/// Whether a handing over may begin.
enum Begun {
    Yes,
    No(Instead),
}

/// Why not.
enum Instead {
    /// The letter does not wait any more: somebody settled it since we looked.
    Settled,
    /// Nor does the offer, for this reason.
    OfferEnded(String),
    /// The account wants no letters.
    OptedOut,
    /// Letters to the address come back.
    AddressRefused,
}

/// Tells the lane, and masks the address.
fn refused(error: SendError, to: &Address, place: &DomainSlot) -> SendError {
    place.record_error(&error);
    error.map(|text| mask::masked(&text, to))
}
