//! What is to be done with a letter, after a look at Stripe: sent, and with which words; or withdrawn, suppressed, held. Changes nothing.

use url::Url;

use super::address::Address;
use super::copy::{self, Disclaimer, NO_DISCLAIMER, NOT_APPROVED};
use super::opt_out;
use super::recipient::{self, NoRecipient};
use super::refused::{self, AddressHash};
use super::send::PrepareError;
use super::store::{Content, Letter};
use super::{Facts, FinancingType, SendLetter};
use crate::money::Money;
use crate::queue::Stopped;
use crate::stripe::{self, Account, AccountId, Answered, FinancingOffer, OfferId, OfferStatus};

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
    /// Letters to this address come back: a person must act.
    HoldForAddress(Address),
}

impl SendLetter {
    /// Looks at Stripe, and decides.
    pub(super) async fn decide(&self, letter: &Letter) -> Result<Decision, Stopped> {
        if opt_out::store::has(&self.db, &letter.account_id).await? {
            return Ok(Decision::Suppress);
        }
        let offer_id: OfferId = letter.offer_id.parse().map_err(PrepareError::Id)?;
        let answered = self.stripe.offer(&offer_id).await?;
        let offer = &answered.object;
        if let Some(reason) = self.closed(letter, offer).await? {
            return Ok(Decision::Withdraw(reason));
        }
        let offered_terms = terms_of(&answered);
        // What may have been sent is sent again word for word: whoever gets it twice has one letter, not two versions. Terms that
        // Stripe changed meanwhile weigh more: nobody may be told old ones.
        if letter.doubts > 0
            && letter.offered_terms == offered_terms
            && let Some((to, content)) = written_before(letter)
            && (!offer.livemode || self.was_approved(&content).await?)
            && !refused::store::has(&self.db, &AddressHash::of(&content.recipient)).await?
        {
            return Ok(Decision::Send(to, Box::new(content)));
        }
        let account_id: AccountId = letter.account_id.parse().map_err(PrepareError::Id)?;
        let (account, to) = match recipient::look_up(self, &account_id).await? {
            (account, Ok(to)) => (account, to),
            (_, Err(NoRecipient::Refused(to))) => return Ok(Decision::HoldForAddress(to)),
            (_, Err(nobody @ (NoRecipient::None | NoRecipient::Bad))) => {
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

    /// Whether what was written for an earlier attempt is something that Stripe approved. What a version before approvals wrote is not.
    async fn was_approved(&self, content: &Content) -> sqlx::Result<bool> {
        match &content.copy_hash {
            Some(hash) => copy::store::is_approved_anywhere(&self.db, hash).await,
            None => Ok(false),
        }
    }

    pub(super) fn unsubscribe_url(&self, account: &AccountId) -> Option<Url> {
        self.settings.links.as_ref().map(|links| links.link(account))
    }

    /// Why an offer is not to be written about any more, where it is not. A letter that came back may be about one that is delivered
    /// already, by our own word.
    async fn closed(&self, letter: &Letter, offer: &FinancingOffer) -> sqlx::Result<Option<String>> {
        if offer.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Ok(Some("offer_expired".to_owned()));
        }
        if offer.status == OfferStatus::Undelivered
            || self.is_ours(&mut *self.db.acquire().await?, letter, &offer.status).await?
        {
            return Ok(None);
        }
        Ok(Some(format!("offer_{}", offer.status)))
    }
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
