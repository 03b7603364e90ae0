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

use sqlx::{PgConnection, PgPool};
use url::Url;

use super::address::{self, Address};
use super::copy::{self, Disclaimer, Disclaimers, NO_DISCLAIMER, NOT_APPROVED};
use super::mime::{self, Parts};
use super::opt_out::{self, OPTED_OUT};
use super::recipient::{self, NoRecipient};
use super::store::{self, Content, Letter, Move, State};
use super::write::{WriteError, Writer};
use super::{Facts, FinancingType, Relay, SendError, Settings, to_delivered};
use crate::clock::Clock;
use crate::database::Troubles;
use crate::money::Money;
use crate::queue::{self, Bell, Circuit, Claim, Next, Retryable, Stopped, Work, insist};
use crate::stripe::{self, Account, AccountId, Answered, FinancingOffer, Memory, OfferId, OfferStatus};
use crate::timeline;

/// Sends letters.
#[derive(Debug)]
pub struct SendLetter {
    /// Where the letters are.
    pub db: PgPool,
    /// Told of a database that would not take an outcome.
    pub troubles: Troubles,
    /// When things happen.
    pub clock: Clock,
    /// Whom to ask about the offer and the account.
    pub stripe: Memory,
    /// Whom it leans on: Stripe and the relay.
    pub circuits: [Circuit; 2],
    /// Who takes the letters.
    pub relay: Relay,
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
    pub jobs: Bell,
}

/// What to do with a letter after looking at Stripe.
enum Decision {
    /// Send this.
    Send(Address, Box<Content>),
    /// The offer is not open any more.
    Withdraw(String),
    /// The account does not want it.
    Suppress,
    /// A person must act.
    Hold(&'static str),
}

/// Why no attempt at sending could be made.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error("cannot write the letter")]
    Write(#[from] WriteError),
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

/// As in `letters.reason`, of a letter that waits although it may have been sent.
pub(super) const UNCERTAIN: &str = "uncertain";
/// As in `letters.reason`, of a letter whose last attempt failed.
pub(super) const GAVE_UP: &str = "gave_up";

impl Work for SendLetter {
    const KIND: &'static str = super::JOB;

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
        }
    }

    fn leans_on(&self) -> &[Circuit] {
        &self.circuits
    }

    async fn give_up(&self, tx: &mut PgConnection, claim: &Claim, error: &str) -> sqlx::Result<()> {
        let Some(letter) = store::find(&mut *tx, &claim.subject).await? else { return Ok(()) };
        if letter.state == State::Sending {
            self.doubt(&mut *tx, &letter, error).await?;
        }
        let waiting = if letter.doubts > 0 { UNCERTAIN } else { GAVE_UP };
        for (from, reason) in [(State::Waiting, waiting), (State::Uncertain, UNCERTAIN)] {
            let held = Move { from, to: State::Held, reason: Some(reason), relay_answer: Some(error) };
            self.shift(&mut *tx, &letter, &held).await?;
        }
        Ok(())
    }
}

impl SendLetter {
    /// Looks at Stripe, and decides.
    async fn decide(&self, letter: &Letter) -> Result<Decision, Stopped> {
        if opt_out::store::has(&self.db, &letter.account_id).await? {
            return Ok(Decision::Suppress);
        }
        let offer_id: OfferId = letter.offer_id.parse().map_err(PrepareError::Id)?;
        let answered = self.stripe.offer(&offer_id).await?;
        let offer = &answered.object;
        if let Some(reason) = self.closed(offer)
            && !self.is_ours(&mut *self.db.acquire().await?, letter, &offer.status).await?
        {
            return Ok(Decision::Withdraw(reason));
        }
        let offered_terms = terms_of(&answered);
        // What may have been sent is sent again word for word: whoever gets it twice has one letter, not two versions. Terms that
        // Stripe changed meanwhile weigh more: nobody may be told old ones.
        if letter.doubts > 0
            && letter.offered_terms == offered_terms
            && let Some((to, content)) = written_before(letter)
        {
            return Ok(Decision::Send(to, Box::new(content)));
        }
        let account_id: AccountId = letter.account_id.parse().map_err(PrepareError::Id)?;
        let account = self.stripe.account(&account_id).await?;
        let to = match recipient::find(&self.stripe, &account, self.settings.allow_support_address).await? {
            Ok(to) => to,
            Err(nobody @ (NoRecipient::None | NoRecipient::Bad)) => {
                return Ok(Decision::Hold(nobody.reason()));
            }
        };
        let disclaimer = match self.disclaimer(offer, &account).await? {
            Ok(disclaimer) => disclaimer,
            Err(reason) => return Ok(Decision::Hold(reason)),
        };
        let facts = match self.facts(offer, &account, &to, &disclaimer) {
            Ok(facts) => facts,
            Err(reason) => return Ok(Decision::Hold(reason)),
        };
        let written = self.writer.write(&facts).map_err(PrepareError::Write)?;
        let content = Content {
            recipient: to.expose().to_owned(),
            subject: written.subject,
            text: written.text,
            html: written.html,
            template_version: written.template_version,
            offered_terms,
            copy_hash: Some(self.writer.copy_hash(&disclaimer)),
            disclaimer_variant: Some(disclaimer.variant),
        };
        Ok(Decision::Send(to, Box::new(content)))
    }

    /// What the letter is written from; a reason to hold it where the offer says no terms or no end, or such that no merchant
    /// should read them (Stripe's own test data have a withhold rate of 65 million).
    fn facts(
        &self,
        offer: &FinancingOffer,
        account: &Account,
        to: &Address,
        disclaimer: &Disclaimer,
    ) -> Result<Facts, &'static str> {
        let (Some(terms), Some(expires_at)) = (&offer.offered_terms, offer.expires_at) else {
            return Err("no_terms");
        };
        let has_rate = terms.withhold_rate > 0.0 && terms.withhold_rate <= 1.0;
        if !has_rate || terms.advance_amount <= 0 || terms.fee_amount < 0 {
            return Err("bad_terms");
        }
        let money = |minor| Money { minor, currency: terms.currency.clone() };
        Ok(Facts {
            account_name: account.display_name().map(str::to_owned),
            recipient: to.expose().to_owned(),
            advance: money(terms.advance_amount),
            fee: money(terms.fee_amount),
            withhold_rate: terms.withhold_rate,
            expires_at,
            financing_type: vocabulary(offer),
            disclaimer: disclaimer.paragraphs.clone(),
            unsubscribe_url: self.unsubscribe_url(&account.id),
            livemode: offer.livemode,
        })
    }

    /// What stands under the letter; or why it may not go out. Test data reach nobody, so samples will do for them.
    async fn disclaimer(
        &self,
        offer: &FinancingOffer,
        account: &Account,
    ) -> sqlx::Result<Result<Disclaimer, &'static str>> {
        let country = account.country.as_deref();
        let variant = offer.disclaimer_variant.as_deref();
        if !offer.livemode {
            let any = || self.disclaimers.find(Some("of this country"), None);
            return Ok(self.disclaimers.find(variant, country).or_else(any).ok_or(NO_DISCLAIMER));
        }
        let Some(found) = self.disclaimers.find(variant, country).filter(|found| !found.is_sample) else {
            return Ok(Err(NO_DISCLAIMER));
        };
        let Some(market) = found.market.as_deref().or(country) else { return Ok(Err(NOT_APPROVED)) };
        let hash = self.writer.copy_hash(&found);
        let is_approved = copy::store::is_approved(&self.db, &hash, market).await?;
        Ok(if is_approved { Ok(found) } else { Err(NOT_APPROVED) })
    }

    fn unsubscribe_url(&self, account: &AccountId) -> Option<Url> {
        self.settings.links.as_ref().map(|links| links.link(account))
    }

    /// Why an offer is not to be written about any more, where it is not.
    fn closed(&self, offer: &FinancingOffer) -> Option<String> {
        if offer.status != OfferStatus::Undelivered {
            Some(format!("offer_{}", offer.status))
        } else if offer.expires_at.is_some_and(|end| end <= self.clock.now()) {
            Some("offer_expired".to_owned())
        } else {
            None
        }
    }

    async fn send(
        &self,
        claim: &Claim,
        mut letter: Letter,
        to: Address,
        content: &Content,
    ) -> Result<(), Stopped> {
        let account_id: AccountId = letter.account_id.parse().map_err(PrepareError::Id)?;
        let unsubscribe_url = self.unsubscribe_url(&account_id);
        let parts = Parts {
            message_id: &letter.message_id,
            to: &to,
            subject: &content.subject,
            text: &content.text,
            html: &content.html,
            unsubscribe_url: unsubscribe_url.as_ref(),
            at: self.clock.now(),
        };
        let ready = mime::assemble(&parts, &self.settings).map_err(PrepareError::Assemble)?;
        let name = format!("{}-{}", letter.letter_id, letter.attempt + 1);
        let talk = match self.relay.open(&ready.envelope, &name).await {
            Ok(talk) => talk,
            Err(error) => return self.record_failure(claim, &letter, &mask(error, &to)).await,
        };
        // What is begun after this cannot be taken back; a process that is about to end leaves it to the next.
        if claim.is_stopping() {
            return Err(Stopped::Released);
        }
        crate::crash::point("letter.before_sending");
        letter.attempt += 1;
        match self.begin(claim, &letter, content).await {
            Ok(Begun::Yes) => letter.state = State::Sending,
            // Somebody settled it since we looked.
            Ok(Begun::Settled) => return self.finish(claim).await,
            Ok(Begun::OfferEnded(reason)) => {
                return self.end(claim, &letter, State::Withdrawn, &reason).await;
            }
            // The commit may have come through all the same. That nothing was sent is known here and nowhere else.
            Err(Stopped::Failed(error)) => {
                drop(talk);
                insist(claim, &self.troubles, || self.take_back(claim, &letter)).await?;
                return Err(Stopped::Failed(error));
            }
            Err(stopped) => return Err(stopped),
        }
        claim.hands_over();
        crate::crash::point("letter.after_sending");
        let outcome = talk.hand_over(&ready.bytes).await;
        crate::crash::point("letter.after_relay");
        match outcome {
            Ok(answer) => {
                let answer = address::masked(&answer, &to);
                insist(claim, &self.troubles, || self.record_sent(claim, &letter, &to, &answer)).await
            }
            Err(error) => {
                let error = mask(error, &to);
                insist(claim, &self.troubles, || self.record_failure(claim, &letter, &error)).await
            }
        }
    }

    /// Writes down that the message is about to be handed over, with a whole lease ahead: a worker that was stopped for longer
    /// than its lease finds out here, before anything is sent. So does one whose offer ended since Stripe was asked: an event
    /// that told so either withdrew the letter or is seen here.
    async fn begin(&self, claim: &Claim, letter: &Letter, content: &Content) -> Result<Begun, Stopped> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        queue::renew(&mut *tx, claim, self.lease, now).await?.or_stop()?;
        let status = timeline::hold_status(&mut tx, &letter.offer_id).await?;
        if let Some(status) = status.filter(|status| status.rank() > OfferStatus::Undelivered.rank())
            && !self.is_ours(&mut tx, letter, &status).await?
        {
            return Ok(Begun::OfferEnded(format!("offer_{status}")));
        }
        if !store::begin_sending(&mut *tx, &letter.letter_id, content, now).await? {
            return Ok(Begun::Settled);
        }
        tx.commit().await?;
        Ok(Begun::Yes)
    }

    /// Whether an offer is delivered because we ourselves told Stripe so: then a letter that came back may be sent again.
    async fn is_ours(
        &self,
        db: &mut PgConnection,
        letter: &Letter,
        status: &OfferStatus,
    ) -> sqlx::Result<bool> {
        Ok(*status == OfferStatus::Delivered && to_delivered::is_told(db, &letter.offer_id).await?)
    }
}

/// Whether a handing over may begin.
enum Begun {
    Yes,
    /// The letter does not wait any more.
    Settled,
    /// Nor does the offer, for this reason.
    OfferEnded(String),
}

/// The terms as Stripe sent them.
fn terms_of(answered: &Answered<FinancingOffer>) -> Option<serde_json::Value> {
    answered.body.get("offered_terms").filter(|terms| !terms.is_null()).cloned()
}

/// What was written for an earlier attempt.
fn written_before(letter: &Letter) -> Option<(Address, Content)> {
    let content = Content {
        recipient: letter.recipient.clone()?,
        subject: letter.subject.clone()?,
        text: letter.body_text.clone()?,
        html: letter.body_html.clone()?,
        template_version: letter.template_version.clone()?,
        offered_terms: letter.offered_terms.clone(),
        copy_hash: letter.copy_hash.clone(),
        disclaimer_variant: letter.disclaimer_variant.clone(),
    };
    Some((content.recipient.parse().ok()?, content))
}

/// Which words the letter may use (<https://docs.stripe.com/capital/mca-marketing-guidelines>).
fn vocabulary(offer: &FinancingOffer) -> FinancingType {
    match offer.kind_of_financing() {
        Some(stripe::FinancingType::CashAdvance) => FinancingType::CashAdvance,
        Some(stripe::FinancingType::FlexLoan | stripe::FinancingType::FixedTermLoan) => FinancingType::Loan,
        Some(stripe::FinancingType::Other(_)) | None => FinancingType::Unspecified,
    }
}

fn mask(error: SendError, to: &Address) -> SendError {
    error.map(|text| address::masked(&text, to))
}
