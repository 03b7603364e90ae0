//! `GET /api/v1/accounts/{account}/offers/{offer}/copy`: what a banner about an offer must carry
//! beside it. The disclaimer is due wherever Capital is mentioned in a product, banners included.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::offers::OfferPath;
use super::request::{AccountParams, AccountPath, Query};
use super::{Platform, Refusal};
use crate::format::locale::{self, Language};
use crate::format::money::Money;
use crate::letters::Kind;
use crate::letters::wording::{
    BannerCopy, ContactLine, Disclaimer, Disclaimers, Facts, TermsLine, Writer,
};
use crate::offers::store::{AccountOffer, find_of_account};
use crate::stripe::{Account, OfferId, OfferStatus, OfferedTerms};

/// Where the text comes from.
#[derive(Debug)]
pub struct BannerSource {
    /// The words of the letters.
    pub writer: Arc<Writer>,
    pub disclaimers: Disclaimers,
    /// The key of the account's Stripe metadata that names its language.
    pub locale_metadata_key: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CopyQuery {
    /// The preferred language. Defaults to the account's.
    #[param(pattern = "^(en|de|fr)$", example = "de")]
    language: Option<String>,
}

/// What a banner must carry beside an offer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Copy)]
pub(super) struct OfferCopy {
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer_id: String,
    /// The language of every text: the preferred one if there is a disclaimer in it, otherwise
    /// that of the disclaimer.
    #[schema(example = "en")]
    language: &'static str,
    /// What a refill does to the running financing, to be shown above the terms; null for other
    /// offers, and where Stripe does not document it.
    #[schema(example = "If approved, your current financing continues alongside the new one.")]
    refill: Option<String>,
    /// The terms, in the order in which to show them.
    terms: Vec<CopyLine>,
    #[schema(example = "You pay through a portion of your daily sales.")]
    how_it_is_paid: String,
    /// Due beside every offer.
    #[schema(example = "All financing applications are subject to review prior to approval.")]
    review: String,
    /// Whom the merchant can ask and, if that is another contact, where to complain.
    contacts: Vec<CopyContact>,
    disclaimer: CopyDisclaimer,
}

/// A term of the offer as text.
#[derive(Debug, Serialize, ToSchema)]
struct CopyLine {
    #[schema(example = "Financing amount")]
    label: String,
    #[schema(example = "up to $10,000.00")]
    value: String,
}

/// A sentence that ends with a contact.
#[derive(Debug, Serialize, ToSchema)]
struct CopyContact {
    /// What stands before the contact.
    #[schema(example = "If you have a question about Rocket Capital, write to")]
    text: String,
    /// An email address, or the URL of a page.
    #[schema(example = "help@rocket.example")]
    contact: String,
    /// What the contact links to.
    #[schema(example = "mailto:help@rocket.example")]
    url: String,
}

/// The disclaimer, to be shown word for word.
#[derive(Debug, Serialize, ToSchema)]
struct CopyDisclaimer {
    /// Stripe's name for it.
    #[schema(example = "celtic_us_loan")]
    variant: String,
    #[schema(example = "en")]
    language: &'static str,
    paragraphs: Vec<String>,
}

/// Show the copy for a banner
///
/// For a banner or tile of yours that mentions an open offer, also one that Stripe's component
/// draws: the terms as formatted text, the sentence about the review, whom to ask, and the
/// disclaimer.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/offers/{offer}/copy",
    operation_id = "showCopy",
    params(AccountParams, OfferPath, CopyQuery),
    responses((status = 200, body = OfferCopy, description = "The texts")),
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    AccountPath(account): AccountPath,
    Path(OfferPath { offer }): Path<OfferPath>,
    Query(query): Query<CopyQuery>,
) -> Result<Json<OfferCopy>, Refusal> {
    let Platform { api, financings, banners, .. } = &platform;
    let offer: OfferId = offer.parse().map_err(|_| Refusal::NotFound)?;
    let language: Option<Language> = query
        .language
        .map(|code| code.parse())
        .transpose()
        .map_err(|error| Refusal::BadQuery(format!("bad language: {error}").into()))?;
    let find = find_of_account(&api.db, account.as_str(), offer.as_str());
    let offer = api.query("cannot read an offer", find).await?.ok_or(Refusal::NotFound)?;
    let account = financings.accounts.account(&account).await;
    let account = account.map_err(|error| Refusal::from_stripe(&error))?;
    let disclaimer = banners.disclaimer(&offer, &account, language).ok_or(Refusal::NoDisclaimer)?;
    let facts = facts(&offer, &account, &disclaimer, api.clock.now());
    let copy = banners.writer.banner(&facts.ok_or(Refusal::NothingToPromote)?);
    let copy = copy.map_err(|error| {
        tracing::error!(offer.id = offer.offer_id, %error, "cannot render the copy of a banner");
        Refusal::Unavailable
    })?;
    Ok(Json(OfferCopy::new(offer.offer_id, copy, disclaimer)))
}

impl BannerSource {
    /// The disclaimer, which also determines the language, as for letters. The sample is for test
    /// data alone.
    fn disclaimer(
        &self,
        offer: &AccountOffer,
        account: &Account,
        language: Option<Language>,
    ) -> Option<Disclaimer> {
        let country = account.country.as_deref();
        let languages = match language {
            Some(language) => vec![language],
            None => account.languages(&self.locale_metadata_key),
        };
        let found = self.disclaimers.find(offer.disclaimer_variant.as_deref(), country, &languages);
        found.filter(|found| !(found.is_sample && offer.livemode))
    }
}

/// `None` unless the offer is open, of a known product, and has plausible terms.
fn facts(
    offer: &AccountOffer,
    account: &Account,
    disclaimer: &Disclaimer,
    now: DateTime<Utc>,
) -> Option<Facts> {
    let status = OfferStatus::from(offer.status.clone());
    let is_open = matches!(status, OfferStatus::Undelivered | OfferStatus::Delivered)
        && offer.replacement_offer_id.is_none();
    let expires_at = offer.expires_at.filter(|end| is_open && *end > now)?;
    if offer.has_unknown_product() {
        return None;
    }
    let terms = offer.offered_terms().filter(OfferedTerms::are_plausible)?;
    let is_refill = offer.is_refill();
    let money = |minor| Money { minor, currency: terms.currency.to_lowercase() };
    Some(Facts {
        kind: if is_refill { Kind::Refill } else { Kind::Offer },
        is_refill,
        language: disclaimer.language,
        country: account.country.clone(),
        market: disclaimer.market_in(account.country.as_deref()),
        time_zone: locale::time_zone(account.time_zone(), account.country.as_deref()),
        account_name: None,
        first_name: None,
        recipient: String::new(),
        advance: money(terms.advance_amount),
        fee: money(terms.fee_amount),
        withhold_rate: terms.withhold_rate,
        fee_discount: offer.fee_discount(),
        repayment_interval: terms.repayment_interval,
        expires_at,
        financing_type: offer.contract(),
        disclaimer: Vec::new(),
        unsubscribe_url: None,
        livemode: offer.livemode,
    })
}

impl OfferCopy {
    fn new(offer_id: String, copy: BannerCopy, disclaimer: Disclaimer) -> Self {
        let BannerCopy { refill, terms, how_it_is_paid, review, contacts } = copy;
        let Disclaimer { variant, language, paragraphs, .. } = disclaimer;
        let language = language.code();
        Self {
            offer_id,
            language,
            refill,
            terms: terms.into_iter().map(CopyLine::from).collect(),
            how_it_is_paid,
            review,
            contacts: contacts.into_iter().map(CopyContact::from).collect(),
            disclaimer: CopyDisclaimer { variant, language, paragraphs },
        }
    }
}

impl From<ContactLine> for CopyContact {
    fn from(ContactLine { words, contact }: ContactLine) -> Self {
        Self { text: words, contact: contact.address, url: contact.url }
    }
}

impl From<TermsLine> for CopyLine {
    fn from(TermsLine { label, value }: TermsLine) -> Self {
        Self { label, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_described_pattern_names_every_language() {
        let described = serde_json::to_string(&CopyQuery::into_params(|| None)).unwrap();
        let pattern = format!("^({})$", Language::ALL.map(Language::code).join("|"));
        assert!(described.contains(&pattern), "{described}");
    }
}
