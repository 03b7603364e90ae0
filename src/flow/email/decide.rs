//! Decides what happens to a letter: send, withdraw, suppress, hold or defer. Reads from Stripe and
//! the database, and writes nothing. `LetterCommits::begin` checks for the last time what may have
//! changed since.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;

use super::recipient::{self, NoRecipient, Recipient, RecipientError};
use super::send::PrepareError;
use super::to_delivered;
use super::{SendLetter, Settings};
use crate::clock::{Agreement, Clock};
use crate::consent;
use crate::consent::suppression::{self, AddressHash};
use crate::database::Pool;
use crate::format::locale;
use crate::format::money::Money;
use crate::letters::pauses::Pause;
use crate::letters::reason::{self, CAME_BACK, NO_DISCLAIMER, NOT_APPROVED, OFFER_ENDS};
use crate::letters::reminders::schedule::{DISABLED_RECHECK_INTERVAL, MIN_REMAINING};
use crate::letters::store::{self, Content, Letter, State};
use crate::letters::wording::{Disclaimer, Disclaimers, Facts, Writer, approvals};
use crate::letters::{Kind, evidence};
use crate::mail::Address;
use crate::queue::{AttemptError, WrongClock};
use crate::stripe::{
    Account, AccountId, ApiResponse, Cache, FinancingOffer, OfferId, OfferStatus,
    market_of_disclaimer,
};

/// What happens to a letter, given Stripe's current data.
pub(super) enum SendDecision {
    Send(Address, Box<Content>),
    Skip(SkipReason),
}

/// Why a letter does not go out now.
#[derive(Debug)]
pub(super) enum SkipReason {
    /// The offer is no longer open; the value goes to `letters.reason`.
    Withdraw(String),
    /// The account opted out.
    Suppress,
    /// An operator must act; the value goes to `letters.reason`.
    Hold(&'static str),
    /// Reminders only: it is outside the merchant's sending hours.
    Defer(DateTime<Utc>),
    /// No address works; an operator must act.
    HoldWithoutRecipient(NoRecipient),
    /// An operator paused sending.
    Paused(Box<Pause>),
    /// The letter has left `waiting` since it was read.
    NotWaiting,
}

impl From<SkipReason> for SendDecision {
    fn from(reason: SkipReason) -> Self {
        Self::Skip(reason)
    }
}

/// What a decision depends on.
pub(super) struct Decider<'a> {
    db: &'a Pool,
    clock: &'a Clock,
    stripe: &'a Cache,
    writer: &'a Writer,
    disclaimers: &'a Disclaimers,
    settings: &'a Settings,
}

impl<'a> Decider<'a> {
    pub(super) fn new(job: &'a SendLetter) -> Self {
        let SendLetter { db, clock, stripe, writer, disclaimers, settings, .. } = job;
        Self { db, clock, stripe, writer, disclaimers, settings }
    }

    /// Reads the offer and the account from Stripe and decides.
    pub(super) async fn decide(&self, letter: &Letter) -> Result<SendDecision, AttemptError> {
        let preferences = consent::preferences_of(self.db, &letter.account_id).await?;
        if preferences.is_opted_out {
            return Ok(SkipReason::Suppress.into());
        }
        // From Stripe, at most ten seconds old: our own copy of the offer may lag behind.
        let offer_id: OfferId = letter.offer_id.parse().map_err(PrepareError::Id)?;
        let answered = self.stripe.offer(&offer_id).await?;
        let offer = &answered.object;
        // The response may have just revealed that our clock is wrong; then an offer's end means
        // nothing. Nor does it before Stripe's clock has confirmed ours.
        let has_ended = offer.expires_at.is_some_and(|end| end <= self.clock.now());
        if self.clock.is_wrong() || has_ended && self.clock.agreement() == Agreement::Unknown {
            return Err(WrongClock.into());
        }
        if let Some(reason) = self.withdrawal_reason(letter, offer).await? {
            return Ok(SkipReason::Withdraw(reason).into());
        }
        let account_id: AccountId = letter.account_id.parse().map_err(PrepareError::Id)?;
        if letter.sequence > 0
            && let Some(at) = self.not_before(letter, &account_id).await?
        {
            return Ok(SkipReason::Defer(at).into());
        }
        // If an earlier attempt may have reached the merchant, send the identical message again:
        // two copies of one letter are better than two versions. Unless Stripe changed the terms
        // since: outdated terms must not go out.
        if letter.uncertain_attempts > 0
            && letter.offered_terms == offered_terms_of(&answered)
            && let Some((to, mut content)) = earlier_content(letter)
            && (!offer.livemode || self.is_still_approved(letter, &mut content).await?)
            && !suppression::store::is_suppressed(self.db, &AddressHash::of(&content.recipient))
                .await?
        {
            return Ok(SendDecision::Send(to, Box::new(content)));
        }
        self.write_anew(letter, &account_id, &answered, preferences.address.as_deref()).await
    }

    /// Finds the recipient and the disclaimer and writes the letter from Stripe's current data.
    async fn write_anew(
        &self,
        letter: &Letter,
        account_id: &AccountId,
        answered: &ApiResponse<FinancingOffer>,
        set_by_platform: Option<&str>,
    ) -> Result<SendDecision, AttemptError> {
        let offer = &answered.object;
        let may_use_support = self.settings.allow_support_address;
        let looked_up =
            recipient::look_up(self.db, self.stripe, account_id, set_by_platform, may_use_support)
                .await;
        let (account, to) = match looked_up {
            Err(RecipientError::Stripe(error)) if error.is_not_connected() => {
                return Ok(SkipReason::Hold(reason::NOT_CONNECTED).into());
            }
            looked_up => looked_up?,
        };
        let to = match to {
            Ok(to) => to,
            Err(missing) => return Ok(SkipReason::HoldWithoutRecipient(missing).into()),
        };
        if offer.has_unknown_product() {
            return Ok(SkipReason::Hold(reason::UNKNOWN_PRODUCT).into());
        }
        let about =
            LetterContext { kind: Kind::at_step(letter.sequence, offer), offer, account: &account };
        let disclaimer = match self.disclaimer(&about).await? {
            Ok(disclaimer) => disclaimer,
            Err(reason) => return Ok(SkipReason::Hold(reason).into()),
        };
        let facts = match self.facts(&about, &to, &disclaimer) {
            Ok(facts) => facts,
            Err(reason) => return Ok(SkipReason::Hold(reason).into()),
        };
        let written = self.writer.write(&facts).map_err(PrepareError::Write)?;
        let content = Content {
            kind: about.kind.as_str().to_owned(),
            locale: disclaimer.language.code().to_owned(),
            recipient: to.address.expose().to_owned(),
            subject: written.subject,
            text: written.text,
            html: written.html,
            template_version: written.template_version,
            offered_terms: offered_terms_of(answered),
            copy_hash: Some(self.writer.copy_hash(about.kind, &disclaimer)),
            market: disclaimer.market_in(account.country.as_deref()),
            needs_approval: offer.livemode,
            disclaimer_variant: Some(disclaimer.variant),
        };
        Ok(SendDecision::Send(to.address, Box::new(content)))
    }

    /// The facts that the letter states. `Err` with the reason to hold the letter if the offer has
    /// no terms or no end, or if its terms are implausible.
    fn facts(
        &self,
        about: &LetterContext<'_>,
        to: &Recipient,
        disclaimer: &Disclaimer,
    ) -> Result<Facts, &'static str> {
        let LetterContext { kind, offer, account } = *about;
        let (Some(terms), Some(expires_at)) = (&offer.offered_terms, offer.expires_at) else {
            return Err(reason::NO_TERMS);
        };
        if !terms.are_plausible() {
            return Err(reason::BAD_TERMS);
        }
        let money = |minor| Money { minor, currency: terms.currency.to_lowercase() };
        Ok(Facts {
            kind,
            is_refill: Kind::first(offer) == Kind::Refill,
            language: disclaimer.language,
            country: account.country.clone(),
            market: disclaimer.market_in(account.country.as_deref()),
            time_zone: time_zone(account),
            account_name: account.business_name().map(str::to_owned),
            first_name: to.first_name.clone(),
            recipient: to.address.expose().to_owned(),
            advance: money(terms.advance_amount),
            fee: money(terms.fee_amount),
            withhold_rate: terms.withhold_rate,
            expires_at,
            financing_type: offer.contract(),
            repayment_interval: terms.repayment_interval,
            fee_discount: terms.fee_discount(),
            disclaimer: disclaimer.paragraphs.clone(),
            unsubscribe_url: self.settings.unsubscribe_url(&account.id),
            livemode: offer.livemode,
        })
    }

    /// The letter's disclaimer, which also determines its language. `Err` with the reason to hold
    /// the letter. Letters about test data reach no merchant, so the sample disclaimers are good
    /// enough for them.
    async fn disclaimer(
        &self,
        about: &LetterContext<'_>,
    ) -> sqlx::Result<Result<Disclaimer, &'static str>> {
        let LetterContext { kind, offer, account } = *about;
        let country = account.country.as_deref();
        let variant = offer.disclaimer_variant.as_deref();
        let languages = account.languages(&self.settings.locale_metadata_key);
        let find = |variant| self.disclaimers.find(variant, country, &languages);
        if !offer.livemode {
            return Ok(find(variant)
                // An unknown variant always yields a sample.
                .or_else(|| find(Some("of this country")))
                .ok_or(NO_DISCLAIMER));
        }
        let Some(found) = find(variant).filter(|found| !found.is_sample) else {
            return Ok(Err(NO_DISCLAIMER));
        };
        let Some(market) = found.market_in(country) else {
            return Ok(Err(NOT_APPROVED));
        };
        let hash = self.writer.copy_hash(kind, &found);
        let approved = approvals::store::in_force(self.db, &[hash]).await?;
        let is_approved = approved.iter().any(|(_, approved)| *approved == market);
        Ok(if is_approved { Ok(found) } else { Err(NOT_APPROVED) })
    }

    /// Whether the approval of an earlier attempt's content is in force. Sets the content's market
    /// to that of the approval. Content without a hash predates approvals and is not approved.
    async fn is_still_approved(
        &self,
        letter: &Letter,
        content: &mut Content,
    ) -> sqlx::Result<bool> {
        let Some(hash) = &content.copy_hash else { return Ok(false) };
        let approved = evidence::store::approved_market(self.db, &letter.letter_id, hash).await?;
        content.needs_approval = approved.is_some();
        content.market = approved.or(content.market.take());
        Ok(content.needs_approval)
    }

    /// When to look at a reminder again that cannot go out now: outside the merchant's sending
    /// hours, or while this process has that reminder switched off.
    async fn not_before(
        &self,
        letter: &Letter,
        account: &AccountId,
    ) -> Result<Option<DateTime<Utc>>, AttemptError> {
        let now = self.clock.now();
        if !self.settings.schedule.is_on(letter.sequence) {
            return Ok(Some(now + DISABLED_RECHECK_INTERVAL));
        }
        let account = self.stripe.account(account).await?;
        Ok(self.settings.schedule.not_before(now, time_zone(&account)))
    }

    /// The reason to withdraw the letter, or `None` if the offer is still open. A delivered offer
    /// is open to reminders, and to a first letter that bounced after we reported the delivery.
    async fn withdrawal_reason(
        &self,
        letter: &Letter,
        offer: &FinancingOffer,
    ) -> sqlx::Result<Option<String>> {
        if offer.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Ok(Some("offer_expired".to_owned()));
        }
        if letter.sequence > 0 {
            if offer.expires_at.is_some_and(|end| end <= self.clock.now() + MIN_REMAINING) {
                return Ok(Some(OFFER_ENDS.to_owned()));
            }
            if store::first_letter_state(self.db, &letter.offer_id).await? != Some(State::Sent) {
                return Ok(Some(CAME_BACK.to_owned()));
            }
        }
        if offer.status == OfferStatus::Undelivered
            || may_announce(&mut *self.db.begin().await?, letter, &offer.status).await?
        {
            return Ok(None);
        }
        Ok(Some(format!("offer_{}", offer.status)))
    }
}

/// Whether a letter may go out about an offer that is past `undelivered`. `delivered` stops neither
/// a reminder nor a first letter that bounced, if that status is the effect of our own report.
async fn may_announce(
    db: &mut PgConnection,
    letter: &Letter,
    status: &OfferStatus,
) -> sqlx::Result<bool> {
    let is_acknowledged = *status == OfferStatus::Delivered
        && letter.sequence == 0
        && to_delivered::is_delivered(db, &letter.offer_id).await?;
    Ok(is_announced_by(letter, status, is_acknowledged))
}

/// As [`may_announce`]; `is_acknowledged`: Stripe acknowledged our report.
pub(super) fn is_announced_by(
    letter: &Letter,
    status: &OfferStatus,
    is_acknowledged: bool,
) -> bool {
    *status == OfferStatus::Delivered && (letter.sequence > 0 || is_acknowledged)
}

struct LetterContext<'a> {
    kind: Kind,
    offer: &'a FinancingOffer,
    account: &'a Account,
}

fn time_zone(account: &Account) -> Tz {
    locale::time_zone(account.time_zone(), account.country.as_deref())
}

/// Unparsed, as Stripe sent them.
fn offered_terms_of(answered: &ApiResponse<FinancingOffer>) -> Option<serde_json::Value> {
    answered.body.get("offered_terms").filter(|terms| !terms.is_null()).cloned()
}

/// The content written for an earlier attempt, if it is complete and not erased. Its market is that
/// of its disclaimer.
fn earlier_content(letter: &Letter) -> Option<(Address, Content)> {
    let variant = letter.disclaimer_variant.as_deref();
    let content = Content {
        kind: letter.kind.clone(),
        locale: letter.locale.clone()?,
        recipient: letter.recipient.clone()?,
        subject: letter.subject.clone()?,
        text: letter.body_text.clone()?,
        html: letter.body_html.clone()?,
        template_version: letter.template_version.clone()?,
        offered_terms: letter.offered_terms.clone(),
        copy_hash: letter.copy_hash.clone(),
        disclaimer_variant: letter.disclaimer_variant.clone(),
        market: variant.and_then(market_of_disclaimer).map(str::to_owned),
        needs_approval: false,
    };
    Some((content.recipient.parse().ok()?, content))
}
