//! What is to be done with a letter, after a look at Stripe: sent, and with which words; or withdrawn, suppressed, held. Changes nothing.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;
use url::Url;

use super::SendLetter;
use super::recipient::{self, NoRecipient};
use super::send::PrepareError;
use super::to_delivered;
use crate::clock::Agreement;
use crate::consent::opt_outs;
use crate::consent::suppression::{self, AddressHash};
use crate::format::locale::{self, Language};
use crate::format::money::Money;
use crate::letters::Kind;
use crate::letters::reason::{self, CAME_BACK, NO_DISCLAIMER, NOT_APPROVED, OFFER_ENDS};
use crate::letters::reminders::schedule::{MIN_LEFT, WHILE_OFF};
use crate::letters::store::{self, Content, Letter, State};
use crate::letters::wording::{Disclaimer, Facts, approvals};
use crate::mail::Address;
use crate::queue::{Stopped, WrongClock};
use crate::stripe::{Account, AccountId, Answered, FinancingOffer, OfferId, OfferStatus};

/// What to do with a letter after looking at Stripe.
pub(super) enum Decision {
    /// Send this.
    Send(Address, Box<Content>),
    /// The offer is not open any more.
    Withdraw(String),
    /// The account does not want it.
    Suppress,
    /// A person must act.
    Hold(&'static str),
    /// It is night where the merchant is.
    Later(DateTime<Utc>),
    /// There is no address that works: a person must act.
    HoldForAddress(NoRecipient),
}

impl SendLetter {
    /// Looks at Stripe, and decides.
    pub(super) async fn decide(&self, letter: &Letter) -> Result<Decision, Stopped> {
        if opt_outs::store::is_opted_out(&self.db, &letter.account_id).await? {
            return Ok(Decision::Suppress);
        }
        let offer_id: OfferId = letter.offer_id.parse().map_err(PrepareError::Id)?;
        let answered = self.stripe.offer(&offer_id).await?;
        let offer = &answered.object;
        // Stripe's answer may just have shown that the clock is wrong: then no end has come. Nor does an
        // end count that Stripe's clock has not confirmed.
        let has_ended = offer.expires_at.is_some_and(|end| end <= self.clock.now());
        if self.clock.is_wrong() || has_ended && self.clock.agreement() == Agreement::Unknown {
            return Err(WrongClock.into());
        }
        if let Some(reason) = self.closed(letter, offer).await? {
            return Ok(Decision::Withdraw(reason));
        }
        let account_id: AccountId = letter.account_id.parse().map_err(PrepareError::Id)?;
        if letter.sequence > 0
            && let Some(at) = self.not_before(letter, &account_id).await?
        {
            return Ok(Decision::Later(at));
        }
        let offered_terms = terms_of(&answered);
        // What may have been sent is sent again word for word: whoever gets it twice has one letter, not two versions. Terms that
        // Stripe changed meanwhile weigh more: nobody may be told old ones.
        if letter.uncertain_attempts > 0
            && letter.offered_terms == offered_terms
            && let Some((to, content)) = written_before(letter)
            && (!offer.livemode || self.was_approved(&content).await?)
            && !suppression::store::is_suppressed(&self.db, &AddressHash::of(&content.recipient))
                .await?
        {
            return Ok(Decision::Send(to, Box::new(content)));
        }
        let (account, to) = match recipient::look_up(self, &account_id).await? {
            (account, Ok(to)) => (account, to),
            (_, Err(nobody)) => return Ok(Decision::HoldForAddress(nobody)),
        };
        let case = Case { kind: Kind::at_step(letter.sequence, offer), offer, account: &account };
        let disclaimer = match self.disclaimer(&case).await? {
            Ok(disclaimer) => disclaimer,
            Err(reason) => return Ok(Decision::Hold(reason)),
        };
        let facts = match self.facts(&case, &to, &disclaimer) {
            Ok(facts) => facts,
            Err(reason) => return Ok(Decision::Hold(reason)),
        };
        let written = self.writer.write(&facts).map_err(PrepareError::Write)?;
        let content = Content {
            kind: case.kind.as_str().to_owned(),
            locale: disclaimer.language.code().to_owned(),
            recipient: to.expose().to_owned(),
            subject: written.subject,
            text: written.text,
            html: written.html,
            template_version: written.template_version,
            offered_terms,
            copy_hash: Some(self.writer.copy_hash(case.kind, &disclaimer)),
            disclaimer_variant: Some(disclaimer.variant),
            market: offer.livemode.then(|| disclaimer.market.or(account.country.clone())).flatten(),
        };
        Ok(Decision::Send(to, Box::new(content)))
    }

    /// What the letter is written from; a reason to hold it where the offer says no terms or no end, or such that no merchant
    /// should read them.
    fn facts(
        &self,
        case: &Case<'_>,
        to: &Address,
        disclaimer: &Disclaimer,
    ) -> Result<Facts, &'static str> {
        let Case { kind, offer, account } = *case;
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
            time_zone: time_zone(account),
            account_name: account.display_name().map(str::to_owned),
            recipient: to.expose().to_owned(),
            advance: money(terms.advance_amount),
            fee: money(terms.fee_amount),
            withhold_rate: terms.withhold_rate,
            expires_at,
            financing_type: offer.contract(),
            disclaimer: disclaimer.paragraphs.clone(),
            unsubscribe_url: self.unsubscribe_url(&account.id),
            livemode: offer.livemode,
        })
    }

    /// What stands under the letter, and with it the letter's language; or why it may not go out. Test data reach nobody, so samples
    /// will do for them.
    async fn disclaimer(&self, case: &Case<'_>) -> sqlx::Result<Result<Disclaimer, &'static str>> {
        let Case { kind, offer, account } = *case;
        let country = account.country.as_deref();
        let variant = offer.disclaimer_variant.as_deref();
        let languages = self.languages(account);
        let find = |variant| self.disclaimers.find(variant, country, &languages);
        if !offer.livemode {
            return Ok(find(variant)
                .or_else(|| find(Some("of this country")))
                .ok_or(NO_DISCLAIMER));
        }
        let Some(found) = find(variant).filter(|found| !found.is_sample) else {
            return Ok(Err(NO_DISCLAIMER));
        };
        let Some(market) = found.market.as_deref().or(country) else {
            return Ok(Err(NOT_APPROVED));
        };
        let hash = self.writer.copy_hash(kind, &found);
        let is_approved = approvals::store::is_approved(&self.db, &hash, market).await?;
        Ok(if is_approved { Ok(found) } else { Err(NOT_APPROVED) })
    }

    /// The languages to write to an account in, the best first.
    fn languages(&self, account: &Account) -> Vec<Language> {
        let said =
            account.metadata.as_ref().and_then(|all| all.get(&self.settings.locale_metadata_key));
        Language::preferred(said.map(String::as_str), account.country.as_deref())
    }

    /// Whether what was written for an earlier attempt is something that Stripe approved. What a version before approvals wrote is not.
    async fn was_approved(&self, content: &Content) -> sqlx::Result<bool> {
        match &content.copy_hash {
            Some(hash) => approvals::store::is_approved_anywhere(&self.db, hash).await,
            None => Ok(false),
        }
    }

    pub(super) fn unsubscribe_url(&self, account: &AccountId) -> Option<Url> {
        self.settings.links.as_ref().map(|links| links.link(account))
    }

    /// When a reminder is to be looked at again that is not to go out now: outside the merchant's working hours, or while its switch is
    /// off in this process.
    async fn not_before(
        &self,
        letter: &Letter,
        account: &AccountId,
    ) -> Result<Option<DateTime<Utc>>, Stopped> {
        let now = self.clock.now();
        if !self.settings.schedule.is_on(letter.sequence) {
            return Ok(Some(now + WHILE_OFF));
        }
        let account = self.stripe.account(account).await?;
        Ok(self.settings.schedule.not_before(now, time_zone(&account)))
    }

    /// Why an offer is not to be written about any more, where it is not. A reminder is about one that was delivered; so may a letter
    /// be that came back, by our own word.
    async fn closed(
        &self,
        letter: &Letter,
        offer: &FinancingOffer,
    ) -> sqlx::Result<Option<String>> {
        if offer.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Ok(Some("offer_expired".to_owned()));
        }
        if letter.sequence > 0 {
            if offer.expires_at.is_some_and(|end| end <= self.clock.now() + MIN_LEFT) {
                return Ok(Some(OFFER_ENDS.to_owned()));
            }
            if store::state_of(&self.db, &letter.offer_id).await? != Some(State::Sent) {
                return Ok(Some(CAME_BACK.to_owned()));
            }
        }
        if offer.status == OfferStatus::Undelivered
            || self.is_open(&mut *self.db.begin().await?, letter, &offer.status).await?
        {
            return Ok(None);
        }
        Ok(Some(format!("offer_{}", offer.status)))
    }

    /// Whether an offer that is not undelivered may be written about: by a reminder, where nobody has applied yet; and once more by a
    /// first letter that came back, where it is we who told Stripe that it was delivered.
    pub(super) async fn is_open(
        &self,
        db: &mut PgConnection,
        letter: &Letter,
        status: &OfferStatus,
    ) -> sqlx::Result<bool> {
        let is_delivered = *status == OfferStatus::Delivered;
        Ok(is_delivered
            && (letter.sequence > 0 || to_delivered::is_told(db, &letter.offer_id).await?))
    }
}

/// What a letter is about.
struct Case<'a> {
    kind: Kind,
    offer: &'a FinancingOffer,
    account: &'a Account,
}

fn time_zone(account: &Account) -> Tz {
    locale::time_zone(account.time_zone(), account.country.as_deref())
}

/// The terms as Stripe sent them.
fn terms_of(answered: &Answered<FinancingOffer>) -> Option<serde_json::Value> {
    answered.body.get("offered_terms").filter(|terms| !terms.is_null()).cloned()
}

/// What was written for an earlier attempt.
fn written_before(letter: &Letter) -> Option<(Address, Content)> {
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
        market: None,
    };
    Some((content.recipient.parse().ok()?, content))
}
